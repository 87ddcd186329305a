"""What the user declares about files that do not declare it themselves."""

from dataclasses import dataclass
from typing import Literal

from radenhance.dicom.radiograph import Relationship
from radenhance.errors import UsageError

Bone = Literal["bright", "dark"]


@dataclass(frozen=True)
class Rule:
    """A user's word on intensities, where a file is silent; above the file when `override` is set.

    PNG, TIFF and NPY are silent on everything here: the rule always holds for them.

    Args:
        bone: Whether bone has the higher (bright) or the lower (dark) stored values. Values as
            stored: MONOCHROME1 and WhiteIsZero are not applied first, a Modality LUT Sequence is.
        bits: Declared bits per pixel, 1 to 16; for a DICOM file only with `override`.
        relationship: How stored values relate to X-ray intensity.
        override: The rule wins over what a DICOM file declares.
    """

    bone: Bone | None = None
    bits: int | None = None
    relationship: Relationship | None = None
    override: bool = False

    def __post_init__(self) -> None:
        if self.bone not in ("bright", "dark", None):
            raise UsageError(f"bone: {self.bone!r} was given, expected bright or dark")
        if self.bits is not None and self.bits not in range(1, 17):
            raise UsageError(f"bits: {self.bits!r} was given, expected 1 to 16")
        if self.relationship not in ("LIN", "LOG", None):
            raise UsageError(f"relationship: {self.relationship!r} was given, expected LIN or LOG")
