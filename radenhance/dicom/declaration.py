"""What the user declares about files that do not declare it themselves."""

from dataclasses import dataclass
from typing import Literal

from radenhance.dicom.radiograph import Relationship
from radenhance.errors import ParameterError

Bone = Literal["bright", "dark"]


@dataclass(frozen=True)
class Declaration:
    """What intensities mean where a file does not say so, or even where it does.

    PNG, TIFF and NPY files say nothing about any of this: for them the declaration always holds.

    Args:
        bone: Whether bone has the higher (bright) or the lower (dark) stored values. Values as
            stored: MONOCHROME1 and WhiteIsZero are not applied first, a Modality LUT Sequence is.
        bits: Bits per pixel, 1 to 16; used for a DICOM file only with `override`.
        relationship: How stored values relate to the X-ray intensity: LIN (linear) or LOG
            (logarithmic), as in (0028,1040) Pixel Intensity Relationship.
        override: Whether the declaration wins over what a DICOM file says.

    Raises:
        ParameterError: A value is none of these.
    """

    bone: Bone | None = None
    bits: int | None = None
    relationship: Relationship | None = None
    override: bool = False

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        for name, value, known, expected in (
            ("bone", self.bone, ("bright", "dark", None), "bright or dark"),
            ("bits", self.bits, (*range(1, 17), None), "1 to 16"),
            ("relationship", self.relationship, ("LIN", "LOG", None), "LIN or LOG"),
        ):
            if value not in known:
                raise ParameterError(f"Declaration.{name}", got=value, expected=expected)
