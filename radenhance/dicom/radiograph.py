"""A radiograph: its pixels in one polarity, and the elements of its header that matter."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

Relationship = Literal["LIN", "LOG"]
Intent = Literal["FOR PROCESSING", "FOR PRESENTATION"]


@dataclass(frozen=True)
class Header:
    """Elements of a DICOM header; for other file formats everything is unknown (empty or None).

    Args:
        sop_class_uid: (0008,0016) SOP Class UID.
        sop_instance_uid: (0008,0018) SOP Instance UID.
        source_uids: (0008,1155) Referenced SOP Instance UID of every item of (0008,2112) Source
            Image Sequence: the images that this one was derived from.
        predecessor_uids: Those of items whose purpose is 121320, Uncompressed predecessor: the
            image of which this one is a compressed copy.
        study_uid: (0020,000D) Study Instance UID.
        event_uid: (0008,3010) Irradiation Event UID.
        acquired_s: Second of the acquisition, counted from the year 1: (0008,002A) Acquisition
            DateTime, or (0008,0032) Acquisition Time on (0008,0022) its date or that of the study.
        acquisition_number: (0020,0012) Acquisition Number.
        instance_number: (0020,0013) Instance Number.
        derived: Whether (0008,0008) Image Type begins with DERIVED.
        lossy: Whether the pixels went through a compression that loses: (0028,2110) Lossy Image
            Compression, or what the transfer syntax tells where that says nothing.
        patient: First 12 hex digits of a SHA-256 over Patient ID, issuer and name; never the
            identity.
        species: (0010,2201) Patient Species Description, or the meaning of (0010,2202).
        breed: (0010,2292) Patient Breed Description, or the meaning of (0010,2293).
        body_part: (0018,0015) Body Part Examined.
        view: (0018,5101) View Position.
        manufacturer: (0008,0070) Manufacturer.
        model: (0008,1090) Manufacturer's Model Name.
        photometric: (0028,0004) Photometric Interpretation.
        intent: (0008,0068) Presentation Intent Type, or what the SOP class says.
        relationship: (0028,1040) Pixel Intensity Relationship as the file declares it.
        sign: (0028,1041) Pixel Intensity Relationship Sign, +1 or -1.
        kvp: (0018,0060) KVP in kilovolts.
        mas: (0018,1152) Exposure in mAs.
    """

    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    source_uids: tuple[str, ...] = ()
    predecessor_uids: tuple[str, ...] = ()
    study_uid: str = ""
    event_uid: str = ""
    acquired_s: float | None = None
    acquisition_number: int | None = None
    instance_number: int | None = None
    derived: bool = False
    lossy: bool = False
    patient: str = ""
    species: str = ""
    breed: str = ""
    body_part: str = ""
    view: str = ""
    manufacturer: str = ""
    model: str = ""
    photometric: str = ""
    intent: Intent | None = None
    relationship: Relationship | None = None
    sign: int | None = None
    kvp: float | None = None
    mas: float | None = None


@dataclass(frozen=True)
class Radiograph:
    """One projection image in canonical polarity: more attenuation (bone) is a higher value.

    The pixels are whole numbers as the file stores them, so that nothing is lost on reading: signed
    ones moved up by `2**(bits - 1)`, mapped by a Modality LUT Sequence where there is one, and
    complemented (`2**bits - 1 - x`) where bone is dark.

    Args:
        pixels: The pixels, uint16, shape (rows, columns), in [0, 2**bits - 1]; a higher value is
            more attenuation.
        bits: Declared number of bits per pixel, 1 to 16; never derived from the values.
        relationship: How the *complement* of `pixels` relates to the X-ray intensity at the
            detector: LIN (proportional) or LOG (pixels are affine in attenuation already; so are
            values for presentation and those of files that declare nothing).
        path: The file that it was read from.
        valid: Pixels that show the image, bool, shape (rows, columns): neither padding nor outside
            the collimator or shutter that the header declares. None means all.
        spacing_mm: Distance of pixel centres (rows, columns) in millimetres, None when unknown.
        header: Further elements of the header.
    """

    pixels: npt.NDArray[np.uint16]
    bits: int
    relationship: Relationship
    path: Path
    valid: npt.NDArray[np.bool_] | None = None
    spacing_mm: tuple[float, float] | None = None
    header: Header = field(default_factory=Header)

    @property
    def max_value(self) -> int:
        """Largest value that a pixel can have."""
        return (1 << self.bits) - 1

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        rows, columns = self.pixels.shape
        return rows, columns
