import copy
import json
from datetime import UTC, datetime
from io import BytesIO

import numpy as np
import pydicom
import pytest
from pydicom import DataElement, Dataset
from pydicom.data import get_charset_files, get_testdata_file
from pydicom.pixels import apply_voi_lut
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from saved_files import save

from radenhance.dicom.derive import DERIVED_CLASSES, derive
from radenhance.dicom.projection import SOP_CLASSES
from radenhance.dicom.write import write
from radenhance.errors import ImageSizeError, RadiographError, UsageError

DX_FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"
DX_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.1"
NOW = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)
MADE_BY = {"description": "unet 1a2b3c, tile 512", "software_version": "1.0"}
ROWS, COLUMNS = 24, 32


def ramp() -> np.ndarray:
    return np.linspace(0, 1, ROWS * COLUMNS).reshape(ROWS, COLUMNS)


def through_a_file(dataset: Dataset) -> Dataset:
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return pydicom.dcmread(buffer)


def encoded(dataset: Dataset) -> bytes:
    buffer = BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def test_nothing_changes_but_what_the_document_names(digital_xray):
    source, derived = digital_xray, derive(digital_xray, ramp(), **MADE_BY)
    changed = {e.keyword for e in source if e.tag not in derived or derived[e.tag] != e}
    added = {e.keyword for e in derived if e.tag not in source}
    assert changed == {
        *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "ImageType"),
        *("SeriesDescription", "SeriesDate", "SeriesTime", "ContentDate", "ContentTime"),
        *("InstanceCreatorUID", "PresentationIntentType", "PhotometricInterpretation"),
        *("BitsStored", "HighBit", "PixelData", "PresentationLUTShape"),
        *("PixelIntensityRelationship", "PixelIntensityRelationshipSign"),
    }
    assert added == {
        *("InstanceCreationDate", "InstanceCreationTime", "WindowCenter", "WindowWidth"),
        *("VOILUTFunction", "DerivationDescription", "DerivationCodeSequence"),
        *("SourceImageSequence", "ContributingEquipmentSequence"),
    }


def test_source_is_not_mutated(digital_xray):
    source = digital_xray
    source.add_new(0x60003000, "OW", b"\0\0" * 48)
    before = encoded(source)
    derive(source, ramp(), **MADE_BY).PatientSpeciesCodeSequence = []
    assert encoded(source) == before


def test_every_image_gets_uids_of_its_own(digital_xray):
    first, second = (derive(digital_xray, ramp(), **MADE_BY) for _ in range(2))
    uids = [d[k].value for d in (first, second) for k in ("SOPInstanceUID", "SeriesInstanceUID")]
    assert len({*uids, "2.25.1", "2.25.3"}) == 6
    assert all(UID(uid).is_valid and len(uid) <= 64 for uid in uids)
    assert through_a_file(first).file_meta.MediaStorageSOPInstanceUID == first.SOPInstanceUID


def test_series_can_be_shared_and_numbered(digital_xray):
    alone = derive(digital_xray, ramp(), **MADE_BY)
    given = derive(digital_xray, ramp(), **MADE_BY, series_uid="2.25.99", series_number=7)
    assert (alone.SeriesNumber, given.SeriesNumber) == (1004, 7)
    assert given.SeriesInstanceUID == "2.25.99"


def test_dx_for_processing_becomes_for_presentation(digital_xray):
    derived = derive(digital_xray, ramp(), **MADE_BY)
    assert derived.SOPClassUID == DX_FOR_PRESENTATION
    assert derived.PresentationIntentType == "FOR PRESENTATION"
    assert derived.ImageType == ["DERIVED", "PRIMARY", ""]
    assert (derived.PixelIntensityRelationship, derived.PixelIntensityRelationshipSign) == (
        "LOG",
        -1,
    )
    assert (derived.RescaleSlope, derived.RescaleIntercept, derived.RescaleType) == (1, 0, "US")
    assert (derived.PhotometricInterpretation, derived.PresentationLUTShape) == (
        "MONOCHROME2",
        "IDENTITY",
    )


def test_missing_instance_number_is_left_empty(digital_xray):
    del digital_xray.InstanceNumber
    assert through_a_file(derive(digital_xray, ramp(), **MADE_BY))["InstanceNumber"].is_empty


def test_series_description_keeps_its_length(digital_xray):
    digital_xray.SeriesDescription = "x" * 64
    description = derive(digital_xray, ramp(), **MADE_BY).SeriesDescription
    assert description == "x" * 53 + " (enhanced)"


@pytest.mark.parametrize("uid", sorted(SOP_CLASSES))
def test_every_class_that_is_read_has_a_derived_image(uid, digital_xray):
    digital_xray.SOPClassUID = uid
    assert derive(digital_xray, ramp(), **MADE_BY).SOPClassUID in DERIVED_CLASSES


@pytest.mark.parametrize("uid", ["1.1", "1.2", "1.3"])
def test_images_for_processing_become_for_presentation(uid, digital_xray):
    for_presentation = f"1.2.840.10008.5.1.4.1.1.{uid}"
    digital_xray.SOPClassUID = f"{for_presentation}.1"
    derived = derive(digital_xray, ramp(), **MADE_BY)
    assert derived.SOPClassUID == for_presentation
    assert derived.ImageType == ["DERIVED", "PRIMARY", ""]


@pytest.mark.parametrize("uid", ["7", "7.2", "7.3", "12.1.1", "12.2.1"])
def test_one_frame_of_many_and_a_capture_become_a_secondary_capture(uid, digital_xray):
    digital_xray.SOPClassUID = f"1.2.840.10008.5.1.4.1.1.{uid}"
    digital_xray.NumberOfFrames, digital_xray.FrameIncrementPointer = 1, 0x00181063
    digital_xray.PerFrameFunctionalGroupsSequence = [Dataset()]
    derived = through_a_file(derive(digital_xray, ramp(), **MADE_BY))
    assert derived.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    assert (derived.ImageType, derived.ConversionType) == (["DERIVED", "SECONDARY"], "WSD")
    for keyword in ("NumberOfFrames", "FrameIncrementPointer", "PerFrameFunctionalGroupsSequence"):
        assert keyword not in derived


def test_a_capture_keeps_how_it_was_captured(digital_xray):
    digital_xray.SOPClassUID, digital_xray.ConversionType = "1.2.840.10008.5.1.4.1.1.7", "DF"
    assert derive(digital_xray, ramp(), **MADE_BY).ConversionType == "DF"


@pytest.mark.parametrize(
    ("of_source", "plane"),
    [
        (["ORIGINAL", "PRIMARY", "BIPLANE A"], "BIPLANE A"),
        (["ORIGINAL", "PRIMARY"], "SINGLE PLANE"),
        (None, "SINGLE PLANE"),
    ],
)
def test_angiography_keeps_its_plane_and_is_for_display(of_source, plane, digital_xray):
    digital_xray.SOPClassUID = "1.2.840.10008.5.1.4.1.1.12.1"
    digital_xray.ImageType = of_source
    derived = derive(digital_xray, ramp(), **MADE_BY)
    assert derived.SOPClassUID == "1.2.840.10008.5.1.4.1.1.12.1"
    assert derived.ImageType == ["DERIVED", "PRIMARY", plane]
    assert derived.PixelIntensityRelationship == "DISP"
    assert "PixelIntensityRelationshipSign" not in derived


def test_cr_that_declares_more_than_it_must_declares_what_is_true_now(computed_radiograph):
    computed_radiograph.PresentationIntentType = "FOR PROCESSING"
    computed_radiograph.PixelIntensityRelationship = "LIN"
    computed_radiograph.PixelIntensityRelationshipSign = 1
    derived = derive(computed_radiograph, ramp(), **MADE_BY)
    assert (derived.PixelIntensityRelationship, derived.PixelIntensityRelationshipSign) == (
        "LOG",
        -1,
    )
    assert derived.PresentationIntentType == "FOR PRESENTATION"


def test_cr_stays_cr_without_a_presentation_intent(computed_radiograph):
    derived = derive(computed_radiograph, ramp(), **MADE_BY)
    assert derived.SOPClassUID == "1.2.840.10008.5.1.4.1.1.1"
    assert derived.ImageType == ["DERIVED", "PRIMARY"]
    assert "PresentationIntentType" not in derived
    assert "PixelIntensityRelationship" not in derived


@pytest.mark.parametrize("bits", [8, 12, 14, 16])
def test_viewer_pipeline_gives_the_enhanced_pixels_back(radiograph, bits):
    derived = through_a_file(derive(radiograph, ramp(), bits=bits, **MADE_BY))
    # Modality LUT: the identity. VOI LUT: the window. Presentation LUT: IDENTITY.
    assert (derived.RescaleSlope, derived.RescaleIntercept) == (1, 0)
    shown = apply_voi_lut(derived.pixel_array, derived)
    np.testing.assert_allclose(shown, np.rint(ramp() * (2**bits - 1)), atol=1e-9)


def test_whole_numbers_are_stored_as_they_are(digital_xray):
    levels = np.arange(ROWS * COLUMNS, dtype=np.uint16).reshape(ROWS, COLUMNS)
    np.testing.assert_array_equal(derive(digital_xray, levels, **MADE_BY).pixel_array, levels)


def test_pixel_format_is_not_that_of_the_source(digital_xray):
    digital_xray.BitsAllocated, digital_xray.PixelRepresentation = 8, 1
    digital_xray.SamplesPerPixel = 3
    derived = derive(digital_xray, ramp(), **MADE_BY)
    assert (derived.BitsAllocated, derived.BitsStored, derived.HighBit) == (16, 14, 13)
    assert (derived.PixelRepresentation, derived.SamplesPerPixel) == (0, 1)
    np.testing.assert_array_equal(derived.pixel_array, np.rint(ramp() * 16383))


def test_float16_is_not_rounded_twice(digital_xray):
    value = np.float16(0.7)
    image = np.full((ROWS, COLUMNS), value)
    stored = derive(digital_xray, image, bits=16, **MADE_BY).pixel_array
    assert stored[0, 0] == round(float(value) * 65535)


def test_what_described_the_old_pixels_is_gone(digital_xray):
    source, expected = digital_xray, set(derive(digital_xray, ramp(), **MADE_BY).keys())
    source.PixelPaddingValue, source.PixelPaddingRangeLimit = 0, 10
    source.SmallestImagePixelValue, source.LargestImagePixelValue = 0, 4095
    source.SmallestPixelValueInSeries, source.LargestPixelValueInSeries = 0, 4095
    source.NumberOfFrames, source.PlanarConfiguration = 1, 0
    source.WindowCenterWidthExplanation = "NORMAL"
    for keyword in (
        *("VOILUTSequence", "ModalityLUTSequence", "PixelIntensityRelationshipLUTSequence"),
        *("RealWorldValueMappingSequence", "IconImageSequence", "HistogramSequence"),
        "MACParametersSequence",
    ):
        setattr(source, keyword, [Dataset()])
    source.add_new(0xFFFCFFFC, "OB", b"\0\0")  # Data Set Trailing Padding
    source.DigitalSignaturesSequence = [Dataset()]
    source.ExtendedOffsetTable = b"\0" * 8
    assert set(derive(source, ramp(), **MADE_BY).keys()) == expected


def test_overlay_with_data_stays_and_overlay_in_pixel_bits_goes(digital_xray):
    source = digital_xray
    for group in (0x6000, 0x6002):
        source.add_new((group, 0x0010), "US", ROWS)
        source.add_new((group, 0x0011), "US", COLUMNS)
        source.add_new((group, 0x0100), "US", 1 if group == 0x6000 else 16)
        source.add_new((group, 0x0102), "US", 0 if group == 0x6000 else 12)
        source.add_new((group, 0x1302), "DS", "17.5")  # ROI Mean, of the old pixels
    source.add_new((0x6000, 0x3000), "OW", b"\1\0" * 48)
    derived = derive(source, ramp(), **MADE_BY)
    assert derived[0x60003000].value == b"\1\0" * 48
    assert not derived.group_dataset(0x6002)
    assert (0x6000, 0x1302) not in derived


def test_private_elements_stay(digital_xray):
    source = digital_xray
    source.private_block(0x0019, "PHANTOM", create=True).add_new(1, "LO", "kept")
    derived = through_a_file(derive(source, ramp(), **MADE_BY))
    assert derived.private_block(0x0019, "PHANTOM")[1].value == "kept"


def test_source_image_is_referenced_with_its_purpose(digital_xray):
    derived = derive(digital_xray, ramp(), **MADE_BY)
    (reference,) = derived.SourceImageSequence
    assert reference.ReferencedSOPClassUID == DX_FOR_PROCESSING
    assert reference.ReferencedSOPInstanceUID == "2.25.1"
    assert reference.SpatialLocationsPreserved == "YES"
    assert reference.PurposeOfReferenceCodeSequence[0].CodeValue == "121358"
    (again,) = derive(derived, ramp(), **MADE_BY).SourceImageSequence
    assert again.ReferencedSOPInstanceUID == derived.SOPInstanceUID
    assert again.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"


def test_equipment_is_added_to_what_contributed_before(digital_xray):
    derived = derive(digital_xray, ramp(), **MADE_BY, now=NOW)
    twice = derive(derived, ramp(), description="other", software_version="2.0")
    assert [i.SoftwareVersions for i in twice.ContributingEquipmentSequence] == ["1.0", "2.0"]
    (item,) = derived.ContributingEquipmentSequence
    assert (item.Manufacturer, item.ManufacturerModelName) == ("radenhance", "radenhance")
    assert item.ContributionDateTime == "20310203070506.000000+0300"
    assert item.ContributionDescription == "Contrast enhancement by a neural network"
    assert (derived.DerivationDescription, twice.DerivationDescription) == (
        "unet 1a2b3c, tile 512",
        "other",
    )


def test_times_are_in_the_time_zone_of_the_source(digital_xray):
    derived = derive(digital_xray, ramp(), **MADE_BY, now=NOW)
    assert (derived.ContentDate, derived.ContentTime) == ("20310203", "070506.000000")
    source = digital_xray
    local = f"{NOW.astimezone():%H%M%S.%f}"
    for missing_or_invalid in (None, "+99"):
        source.TimezoneOffsetFromUTC = missing_or_invalid
        assert derive(source, ramp(), **MADE_BY, now=NOW).ContentTime == local


def test_lossy_compression_is_never_taken_back(digital_xray):
    source = digital_xray
    source.LossyImageCompression = "01"
    source.LossyImageCompressionRatio, source.LossyImageCompressionMethod = 9.5, "ISO_15444_1"
    derived = derive(source, ramp(), **MADE_BY)
    assert derived.LossyImageCompression == "01"
    assert derived.LossyImageCompressionRatio == 9.5
    assert derived.LossyImageCompressionMethod == "ISO_15444_1"


def test_undeclared_lossy_compression_is_read_from_the_transfer_syntax(computed_radiograph):
    source = computed_radiograph
    assert "LossyImageCompression" not in derive(source, ramp(), **MADE_BY)
    source.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.51"
    source.PixelData = b"\0" * 100
    derived = derive(source, ramp(), **MADE_BY)
    assert derived.LossyImageCompression == "01"
    assert derived.LossyImageCompressionMethod == "ISO_10918_1"
    assert derived.LossyImageCompressionRatio == round(ROWS * COLUMNS * 12 / 8 / 100, 1)


def test_lossy_compression_is_denied_where_dx_must_say_something(digital_xray):
    del digital_xray.LossyImageCompression
    assert derive(digital_xray, ramp(), **MADE_BY).LossyImageCompression == "00"


def test_burned_in_text_is_assumed_unless_denied(digital_xray):
    source = digital_xray
    assert derive(source, ramp(), **MADE_BY).BurnedInAnnotation == "NO"
    del source.BurnedInAnnotation
    assert derive(source, ramp(), **MADE_BY).BurnedInAnnotation == "YES"


@pytest.mark.parametrize("name", ["chrJapMulti.dcm", "chrKoreanMulti.dcm", "chrFrenMulti.dcm"])
def test_names_in_any_character_set_survive(name):
    source = pydicom.dcmread(get_charset_files(name)[0])
    image = np.zeros((source.Rows, source.Columns))
    source.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    derived = through_a_file(derive(source, image, **MADE_BY))
    assert derived.SpecificCharacterSet == source.SpecificCharacterSet
    assert str(derived.PatientName) == str(source.PatientName) != ""
    assert derived["PatientName"].value.original_string == source.PatientName.original_string


def test_implicit_source_is_written_explicit(digital_xray):
    buffer = BytesIO()
    source = digital_xray
    source.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    source.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    derived = through_a_file(derive(pydicom.dcmread(buffer), ramp(), **MADE_BY))
    assert derived.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert derived.PatientName == digital_xray.PatientName
    assert derived["PixelIntensityRelationshipSign"].VR == "SS"


@pytest.mark.parametrize("name", ["RG1_J2KR.dcm", "RG3_J2KI.dcm"])
@pytest.mark.parametrize("without_pixels", [False, True])
def test_pixels_of_the_source_are_not_decoded(name, without_pixels):
    source = pydicom.dcmread(get_testdata_file(name), stop_before_pixels=without_pixels)
    if not without_pixels:
        source.PixelData = b"no JPEG 2000 at all"
    image = np.full((source.Rows, source.Columns), 0.5, np.float32)
    derived = through_a_file(derive(source, image, **MADE_BY))
    assert derived.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert np.unique(derived.pixel_array).tolist() == [8192]
    assert derived.LossyImageCompression == source.LossyImageCompression


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_header_value_that_breaks_the_standard_is_passed_on(digital_xray, syntax):
    digital_xray.file_meta.TransferSyntaxUID = syntax
    with pydicom.config.disable_value_validation():
        digital_xray.add_new("KVP", "DS", "70.12345678901234567")  # 16 characters are allowed
        source = through_a_file(digital_xray)
    derived = through_a_file(derive(source, ramp(), **MADE_BY))
    assert derived.get_item("KVP").value.strip() == b"70.12345678901234567"


def test_other_shape_is_refused(digital_xray):
    with pytest.raises(ImageSizeError, match=r"\(10, 32\), expected \(24, 32\).*Rows"):
        derive(digital_xray, ramp()[:10], **MADE_BY)


@pytest.mark.parametrize("bad", [-0.1, 1.01, np.nan, np.inf])
def test_values_out_of_range_are_refused(digital_xray, bad):
    image = ramp()
    image[3, 4] = bad
    with pytest.raises(UsageError, match="expected values from 0 to 1 and no NaN"):
        derive(digital_xray, image, **MADE_BY)


def test_values_above_the_declared_bits_are_refused(digital_xray):
    levels = np.full((ROWS, COLUMNS), 4096, np.uint16)
    with pytest.raises(UsageError, match="4096.*0 to 4095"):
        derive(digital_xray, levels, bits=12, **MADE_BY)
    with pytest.raises(UsageError, match="int64, expected floating point or uint16"):
        derive(digital_xray, levels.astype(np.int64), **MADE_BY)
    with pytest.raises(UsageError, match="bits is 17, expected 8 to 16"):
        derive(digital_xray, levels, bits=17, **MADE_BY)


def test_description_is_refused_when_too_long_or_not_ascii(digital_xray):
    derive(digital_xray, ramp(), description="x" * 1024, software_version="1")
    with pytest.raises(UsageError, match="1025 characters, DICOM allows 1024"):
        derive(digital_xray, ramp(), description="x" * 1025, software_version="1")
    for text in ("\u043c\u043e\u0434\u0435\u043b\u044c", "two\nlines", ""):
        with pytest.raises(UsageError, match="expected printable ASCII"):
            derive(digital_xray, ramp(), description=text, software_version="1")
    with pytest.raises(UsageError, match="software_version has 65"):
        derive(digital_xray, ramp(), description="x", software_version="1" * 65)


@pytest.mark.parametrize(
    ("keyword", "value", "message"),
    [
        ("SOPInstanceUID", None, r"\(0008,0018\) SOP Instance UID"),
        ("Rows", None, r"\(0028,0010\) Rows"),
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.2", r"\(0008,0016\) .* CT Image Storage"),
        ("NumberOfFrames", 2, r"\(0028,0008\) Number of Frames 2"),
    ],
)
def test_source_that_is_no_single_radiograph_is_refused(digital_xray, keyword, value, message):
    source = digital_xray
    setattr(source, keyword, value)
    with pytest.raises(RadiographError, match=message):
        derive(source, ramp(), **MADE_BY)


def test_big_endian_source_gives_what_its_little_endian_twin_gives(digital_xray, tmp_path):
    item = Dataset()
    item.add_new(0x00991001, "UN", b"abcd")
    item.RedPaletteColorLookupTableData = bytes(range(6))
    digital_xray.add_new(0x60003000, "OW", bytes(range(100)))
    digital_xray.add_new(0x60000010, "US", 24)
    digital_xray.AcquisitionContextSequence = [item]
    digital_xray.ExposureInmAs = 2.5
    twins = {}
    for syntax in (ExplicitVRLittleEndian, ExplicitVRBigEndian):
        path = save(copy.deepcopy(digital_xray), tmp_path / "source.dcm", syntax)
        source = pydicom.dcmread(path, stop_before_pixels=True)
        if syntax == ExplicitVRBigEndian:  # pydicom writes bytes as they are
            swap(source)
        derived = derive(source, ramp(), now=NOW, series_uid="2.25.9", **MADE_BY)
        derived.SOPInstanceUID = "2.25.10"
        write(tmp_path / "derived.dcm", derived)
        twins[syntax] = pydicom.dcmread(tmp_path / "derived.dcm")
    little, big = twins.values()
    assert "DataPointRows" not in big
    del little.AcquisitionContextSequence[0][0x00991001]
    assert json.loads(big.to_json()) == json.loads(little.to_json())
    assert big.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def swap(dataset):
    """Turn words in bytes, as they stand in a big endian file."""
    overlay = dataset[0x60003000]
    item = dataset.AcquisitionContextSequence[0]["RedPaletteColorLookupTableData"]
    for element in (overlay, item):
        element.value = np.frombuffer(element.value, "<u2").astype(">u2").tobytes()


def test_malformed_element_is_a_sentence(digital_xray, tmp_path):
    digital_xray["SeriesNumber"]._value = "four"
    with pytest.raises(RadiographError, match="header cannot be copied"):
        derive(digital_xray, ramp(), **MADE_BY)
    digital_xray.SeriesNumber = 4
    derived = derive(digital_xray, ramp(), **MADE_BY)
    derived["KVP"] = DataElement(0x00180060, "US", 1)
    derived["KVP"]._value = "many"
    with pytest.raises(RadiographError, match="cannot be written"):
        write(tmp_path / "a.dcm", derived)
    assert list(tmp_path.iterdir()) == []
