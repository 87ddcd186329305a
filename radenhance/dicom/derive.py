"""The enhanced image as a new DICOM object, derived from the header of its source.

An enhanced image is a different image: it gets its own SOP Instance UID and its own series, says
what it was made from and how, and drops whatever in the header spoke of the old pixel values. All
else, the patient and the study above all, is the source's. docs/reference/writing.md gives the
reasons.

Sections are those of DICOM PS3.3 (2024e) unless another part is named.
"""

import copy
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.datadict import dictionary_description
from pydicom.dataset import FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from radenhance.dicom.integer_pixels import integer_pixels
from radenhance.dicom.provenance import inherit_losses, record_derivation, record_equipment
from radenhance.errors import ImageSizeError, ParameterError, RadiographError, UsageError

_CR = "1.2.840.10008.5.1.4.1.1.1"
_DX_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.1"
_MAMMOGRAPHY_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
_INTRAORAL_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.3"
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_ANGIOGRAPHY = "1.2.840.10008.5.1.4.1.1.12.1"
_FLUOROSCOPY = "1.2.840.10008.5.1.4.1.1.12.2"

_DX = (_DX_FOR_PRESENTATION, _MAMMOGRAPHY_FOR_PRESENTATION, _INTRAORAL_FOR_PRESENTATION)
_XA = (_ANGIOGRAPHY, _FLUOROSCOPY)

# SOP class of the source -> of the derived image. Computed Radiography stays: it knows no
# presentation intent, and DX demands facts of the detector that a CR header does not have. Of
# classes for many frames, one frame is a Secondary Capture, which demands no more than it has.
_DERIVED_CLASS = {
    **{uid: uid for uid in (_CR, _SECONDARY_CAPTURE, *_DX, *_XA)},
    **{f"{for_presentation}.1": for_presentation for for_presentation in _DX},  # For Processing
    "1.2.840.10008.5.1.4.1.1.7.2": _SECONDARY_CAPTURE,  # Multi-frame Grayscale Byte
    "1.2.840.10008.5.1.4.1.1.7.3": _SECONDARY_CAPTURE,  # Multi-frame Grayscale Word
    "1.2.840.10008.5.1.4.1.1.12.1.1": _SECONDARY_CAPTURE,  # Enhanced XA
    "1.2.840.10008.5.1.4.1.1.12.2.1": _SECONDARY_CAPTURE,  # Enhanced XRF
}

DERIVED_CLASSES = frozenset(_DERIVED_CLASS.values())
"""SOP classes that derived images have."""

_NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "Rows", "Columns")

_BYTES_OF_A_WORD = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}

# Elements that describe pixel values that no longer exist. Those that every image has are
# overwritten, and not listed here.
_OF_OLD_PIXELS = (
    "NumberOfFrames",
    "PlanarConfiguration",
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
    "SmallestPixelValueInSeries",
    "LargestPixelValueInSeries",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "ModalityLUTSequence",
    "PixelIntensityRelationshipLUTSequence",
    "RealWorldValueMappingSequence",
    "VOILUTSequence",
    "WindowCenterWidthExplanation",
    "IconImageSequence",
    "HistogramSequence",
    "MACParametersSequence",  # of digital signatures, which hold no more
    "InstanceCreatorUID",  # the device that made the source did not make this
)

_OF_FRAMES = (
    "FrameIncrementPointer",
    "FrameTimeVector",
    "DimensionOrganizationSequence",
    "DimensionIndexSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)


def derive(  # noqa: PLR0913
    source: Dataset,
    enhanced: npt.NDArray[np.generic],
    *,
    bits: int = 14,
    bits_given: int | None = None,
    description: str,
    software_version: str,
    num_source_bytes: int | None = None,
    series_number: int | None = None,
    series_uid: str | None = None,
    now: datetime | None = None,
) -> Dataset:
    """Return the derived image of `source` that holds the `enhanced` pixels.

    The pixels of `source` are never decoded: it may be compressed in any way, or read without its
    pixels (`dcmread(path, stop_before_pixels=True)`). `source` is left as it is.

    Args:
        source: An X-ray projection of one frame, For Processing or For Presentation.
        enhanced: The enhanced pixels, shape (rows, columns) of the source, bone bright; floating
            point in [0, 1], or uint16 in [0, 2**bits_given - 1].
        bits: (0028,0101) Bits Stored, 8 to 16.
        bits_given: Bits per pixel of `enhanced` where it is uint16, such as 16 for what a PNG of
            `radenhance predict` holds; None for `bits`.
        description: (0008,2111) Derivation Description: model, its hash and settings; printable
            ASCII, at most 1024 characters. A longer one is refused: half a record of how an image
            was made is none.
        software_version: (0018,1020) Software Versions of this program's item in (0018,A001)
            Contributing Equipment Sequence; printable ASCII, at most 64 characters.
        num_source_bytes: Bytes of the source's compressed pixels; None takes them from its Pixel
            Data, if it was read with them.
        series_number: (0020,0011) Series Number; None adds 1000 to that of the source.
        series_uid: (0020,000E) Series Instance UID; None makes a new one. Images of one source
            series that are enhanced in one run belong together: make a UID and pass it with each.
        now: The moment at which the image is made; None is the current time. A naive time is local
            time.

    Returns:
        A dataset for `radenhance.dicom.write.write`.

    Raises:
        RadiographError: The source is no radiograph of one frame, or lacks what identifies it.
        ImageSizeError: `enhanced` has other rows and columns than the source.
        ParameterError: `bits` is not in 8 to 16, or a text is not printable ASCII.
        UsageError: `enhanced` holds values out of range, or a text is too long.
    """
    _check_source(source)
    _check_text("description", description, longest=1024)
    _check_text("software_version", software_version, longest=64)
    _check_shape(source, enhanced)
    levels = integer_pixels(enhanced, bits, bits_given=bits_given)
    with _header_errors(source):
        derived = _derived(source, levels, bits, num_source_bytes, description)
        made = _in_zone_of(source, now or datetime.now(UTC))
        _identify(derived, made, series_uid or generate_uid(prefix=None), series_number)
        record_equipment(derived, made, software_version)
    return derived


def _derived(
    source: Dataset,
    levels: npt.NDArray[np.uint16],
    bits: int,
    num_source_bytes: int | None,
    description: str,
) -> Dataset:
    derived = _header_without_old_pixels(source)
    derived.SOPClassUID = _DERIVED_CLASS[source.SOPClassUID]
    _set_pixels(derived, levels, bits)
    _set_grayscale(derived, bits)
    inherit_losses(derived, source, num_source_bytes or len(source.get("PixelData") or b""))
    record_derivation(derived, source, description)
    return derived


@contextmanager
def _header_errors(source: Dataset) -> Iterator[None]:
    """Turn what pydicom raises at malformed elements, almost any type, into a sentence."""
    try:
        yield
    except Exception as error:
        name = getattr(source, "filename", None) or "the source"
        raise RadiographError(f"{name}: its header cannot be copied; repair it") from error


def _check_source(source: Dataset) -> None:
    name = getattr(source, "filename", None) or "the source"
    for keyword in _NEEDED:
        if not source.get(keyword):
            raise RadiographError(
                f"{name} has no {Tag(keyword)} {dictionary_description(keyword)}, which a derived "
                "image needs"
            )
    if source.SOPClassUID not in _DERIVED_CLASS:
        raise RadiographError(
            f"{name} has (0008,0016) SOP Class UID {source.SOPClassUID.name}, expected an X-ray "
            "projection such as CR or DX"
        )
    if (source.get("NumberOfFrames") or 1) > 1:
        raise RadiographError(
            f"{name} has (0028,0008) Number of Frames {source.NumberOfFrames}, expected one frame"
        )


def _check_text(name: str, text: str, *, longest: int) -> None:
    if len(text) > longest:
        raise UsageError(f"{name} has {len(text)} characters, DICOM allows {longest}; shorten it")
    # ASCII is part of every (0008,0005) Specific Character Set that the source may have.
    if not (text.isascii() and text.isprintable() and text.strip()):
        raise ParameterError(name, got=text, expected="printable ASCII on one line")


def _check_shape(source: Dataset, enhanced: npt.NDArray[np.generic]) -> None:
    expected = (source.Rows, source.Columns)
    if enhanced.shape != expected:
        raise ImageSizeError(
            f"enhanced pixels have shape {enhanced.shape}, expected {expected}: (0028,0010) Rows "
            "and (0028,0011) Columns of the source; enhance it without resizing or cropping"
        )


def _in_zone_of(source: Dataset, moment: datetime) -> datetime:
    # All dates and times of a data set are in one zone, (0008,0201) if present (C.12.1).
    offset = source.get("TimezoneOffsetFromUTC") or ""
    is_valid = re.fullmatch(r"[+-][01]\d[0-5]\d", offset)
    return moment.astimezone(datetime.strptime(offset, "%z").tzinfo if is_valid else None)


def _header_without_old_pixels(source: Dataset) -> Dataset:
    # Leaves out file meta and command elements, and from the pixels on all: (7FE0,xxxx),
    # (FFFA,FFFA) Digital Signatures Sequence, (FFFC,FFFC) Data Set Trailing Padding.
    derived = copy.deepcopy(source[0x00080000:0x7FE00000])
    for keyword in (*_OF_OLD_PIXELS, *_OF_FRAMES):
        derived.pop(keyword, None)
    if source.original_encoding[1] is False:
        _turn_to_little_endian(derived)
        derived.set_original_encoding(False, True, derived.original_character_set)
    for group in range(0x6000, 0x6100, 2):
        _keep_overlay_if_whole(derived, group)
    derived.file_meta = FileMetaDataset()
    derived.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return derived


def _turn_to_little_endian(dataset: Dataset) -> None:
    """Swap the bytes of what pydicom keeps as bytes, and leave out what nobody knows to swap."""
    for element in list(dataset):
        width = _BYTES_OF_A_WORD.get(element.VR)
        if element.VR == "SQ":
            for item in element.value:
                _turn_to_little_endian(item)
        elif element.VR == "UN":
            del dataset[element.tag]
        elif width and isinstance(element.value, bytes):
            words = np.frombuffer(element.value, f">u{width}")
            element.value = words.astype(f"<u{width}").tobytes()


def _keep_overlay_if_whole(derived: Dataset, group: int) -> None:
    # An overlay without (60xx,3000) Overlay Data lies in unused high bits of the old pixels
    # (retired in 2004): its graphics are gone with them.
    if (group, 0x3000) not in derived:
        del derived[group << 16 : (group + 1) << 16]
    for statistic_of_old_pixels in (0x1302, 0x1303):  # ROI mean and standard deviation
        derived.pop((group, statistic_of_old_pixels), None)


def _identify(derived: Dataset, made: datetime, series_uid: str, series_number: int | None) -> None:
    source_number = derived.get("SeriesNumber") or 0
    name = str(derived.get("SeriesDescription") or "")
    note = " (enhanced)"
    derived.SOPInstanceUID = generate_uid(prefix=None)
    derived.SeriesInstanceUID = series_uid
    derived.SeriesNumber = 1000 + source_number if series_number is None else series_number
    derived.SeriesDescription = (name[: 64 - len(note)] + note).strip()  # LO: 64 characters
    derived.setdefault("InstanceNumber", None)  # type 2
    for moment in ("InstanceCreation", "Content", "Series"):
        setattr(derived, f"{moment}Date", f"{made:%Y%m%d}")
        setattr(derived, f"{moment}Time", f"{made:%H%M%S.%f}")


def _set_pixels(derived: Dataset, levels: npt.NDArray[np.uint16], bits: int) -> None:
    derived.SamplesPerPixel = 1
    derived.PhotometricInterpretation = "MONOCHROME2"
    derived.BitsAllocated = 16
    derived.BitsStored = bits
    derived.HighBit = bits - 1
    derived.PixelRepresentation = 0
    derived.add_new("PixelData", "OW", levels.astype("<u2", copy=False).tobytes())


def _set_grayscale(derived: Dataset, bits: int) -> None:
    derived.RescaleIntercept = "0"
    derived.RescaleSlope = "1"
    derived.RescaleType = "US"
    # The identity for unsigned pixels of that many bits (C.11.2.1.2, note 4).
    derived.WindowCenter = str(1 << (bits - 1))
    derived.WindowWidth = str(1 << bits)
    derived.VOILUTFunction = "LINEAR"
    derived.PresentationLUTShape = "IDENTITY"
    is_dx = derived.SOPClassUID in _DX
    derived.ImageType = _image_type(derived)
    if derived.SOPClassUID == _SECONDARY_CAPTURE and not derived.get("ConversionType"):
        derived.ConversionType = "WSD"  # type 1, a workstation (C.8.6.1)
    if is_dx or "PresentationIntentType" in derived:
        derived.PresentationIntentType = "FOR PRESENTATION"
    if derived.SOPClassUID in _XA:
        derived.PixelIntensityRelationship = "DISP"  # where LOG has bone dark (C.8.7.1.1.2)
        derived.pop("PixelIntensityRelationshipSign", None)
    elif is_dx or "PixelIntensityRelationship" in derived:
        # Bone is bright: more is less intensity, and the scale is that of attenuation, about the
        # logarithm (C.8.11.3.1.2).
        derived.PixelIntensityRelationship = "LOG"
        derived.PixelIntensityRelationshipSign = -1


def _image_type(derived: Dataset) -> list[str]:
    """Return Image Type: of Secondary Capture that of no acquisition, of XA with its plane."""
    if derived.SOPClassUID == _SECONDARY_CAPTURE:
        return ["DERIVED", "SECONDARY"]
    if derived.SOPClassUID in _XA:  # value 3 is type 1 (C.8.7.1.1.1)
        plane = [*(derived.get("ImageType") or ""), "", "", ""][2]
        return ["DERIVED", "PRIMARY", plane or "SINGLE PLANE"]
    # value 3 of DX is present and empty (C.8.11.3.1.1)
    return ["DERIVED", "PRIMARY", ""] if derived.SOPClassUID in _DX else ["DERIVED", "PRIMARY"]
