"""An enhanced image as what it is handed on as: a DICOM object, PNG or TIFF."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pydicom import Dataset

from radenhance import __version__
from radenhance.arrays import Image
from radenhance.dataset.species import SPECIES, species_of
from radenhance.dicom.attributes import Attributes
from radenhance.dicom.derive import derive
from radenhance.dicom.read import Source
from radenhance.dicom.write import write, write_png, write_tiff
from radenhance.errors import ParameterError, RadiographError, UsageError
from radenhance.inference.naming import uid_within
from radenhance.prepare.deidentify import without_identity
from radenhance.prepare.identity import identity_words

Format = Literal["auto", "dicom", "png", "tiff"]
"""What is written; auto is DICOM where the source is, else PNG."""

SUFFIXES = {"dicom": ".dcm", "png": ".png", "tiff": ".tif"}
BITS = range(8, 17)

BURNED_IN = (
    "Identities were left out of the headers. Text that is burned into pixels stays: look at each "
    "image whose (0028,0301) Burned In Annotation is YES before you pass it on."
)
"""What to say where identities are left out."""


@dataclass(frozen=True)
class Output:
    """How enhanced images are written.

    Args:
        format: The kind of file.
        bits: Bits per pixel, 8 to 16; None for those of the source in DICOM, and 16 in PNG and
            TIFF, which have no field that says less.
        deidentify: Whether identities are left out of DICOM; PNG and TIFF have none.

    Raises:
        ParameterError: `bits` is none of these.
    """

    format: Format = "auto"
    bits: int | None = None
    deidentify: bool = False

    def __post_init__(self) -> None:
        if self.bits is not None and self.bits not in BITS:
            raise ParameterError("Output.bits", got=self.bits, expected="8 to 16 bits per pixel")

    def format_of(self, source: Source) -> str:
        """Return dicom, png or tiff.

        Raises:
            UsageError: DICOM is asked for, and the source has no header to derive one from.
        """
        if self.format == "dicom" and source.header is None:
            raise UsageError(
                f"{source.radiograph.path}: this is no DICOM file, whose header a DICOM image "
                f"could be derived from; write PNG or TIFF"
            )
        if self.format == "auto":
            return "png" if source.header is None else "dicom"
        return self.format

    def derived(
        self,
        source: Source,
        enhanced: Image,
        *,
        description: str,
        uid_of: Callable[[str], str] | None = None,
    ) -> Dataset:
        """Return the derived DICOM image.

        Args:
            source: What was enhanced; it has a header.
            enhanced: The enhanced pixels in [0, 1], shape (rows, columns) of the source.
            description: How they were made.
            uid_of: What gives the UID of what is made of something with a UID; new ones when None.

        Raises:
            RadiographError: Nothing can be derived from such an object.
        """
        assert source.header is not None
        bits = self.bits or min(max(source.radiograph.bits, BITS.start), BITS.stop - 1)
        uid_of = uid_of or partial(uid_within, uuid.uuid4().hex)
        derived = derive(
            source.header,
            enhanced,
            bits=bits,
            description=description,
            software_version=__version__,
            num_source_bytes=source.num_pixel_bytes,
            series_uid=uid_of(str(source.header.get("SeriesInstanceUID") or uuid.uuid4())),
        )
        derived.SOPInstanceUID = uid_of(derived.SourceImageSequence[0].ReferencedSOPInstanceUID)
        return _without_identity(derived, source, uid_of) if self.deidentify else derived

    def write(
        self,
        stem: Path,
        source: Source,
        enhanced: Image,
        *,
        description: str,
        uid_of: Callable[[str], str] | None = None,
    ) -> Path:
        """Write an enhanced image and return its path.

        Args:
            stem: The path without suffix; folders that are missing are made.
            source: What was enhanced.
            enhanced: The enhanced pixels, as in `derived`.
            description: How they were made.
            uid_of: As in `derived`.

        Raises:
            RadenhanceError: What `derived`, `dicom.write.write`, `write_png` and `write_tiff`
                raise; above all that a file of others stands there.
        """
        kind = self.format_of(source)
        path = stem.with_name(stem.name + SUFFIXES[kind])
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "dicom":
            dataset = self.derived(source, enhanced, description=description, uid_of=uid_of)
            write(path, dataset)
        else:
            writer = write_png if kind == "png" else write_tiff
            writer(
                path,
                enhanced,
                bits=self.bits or 16,
                description=description,
                software_version=__version__,
            )
        return path


def _without_identity(derived: Dataset, source: Source, uid_of: Callable[[str], str]) -> Dataset:
    assert source.header is not None
    path, header = source.radiograph.path, source.radiograph.header
    species = species_of(header.species)
    try:
        return without_identity(
            derived,
            identity_words(Attributes(source.header, path, big_endian=False)),
            patient=uid_of(f"patient {header.patient}").rpartition(".")[2][:16],
            species=species if species in SPECIES else "",
            other_uid=uid_of,
        )
    except Exception as error:  # pydicom raises whatever a malformed element provokes
        raise RadiographError(
            f"{path}: its header cannot be rewritten without identities; repair the file"
        ) from error
