"""The Modality LUT of a DICOM image (PS3.3 C.11.1): a table, or slope and intercept.

Slope and intercept do not change what is stored, only the unit: they are affine, and normalizing
pixels undoes them. Only the sign of the slope is used, because a negative one turns dark into
bright.
"""

from dataclasses import dataclass
from logging import getLogger

import numpy as np
import numpy.typing as npt

from radenhance.dicom.attributes import Attributes, or_unknown
from radenhance.dicom.lookup_table import LookupTable, filled_items, lookup_table

_log = getLogger(__name__)

_ANGIOGRAPHY = {
    "1.2.840.10008.5.1.4.1.1.12.1",  # X-Ray Angiographic
    "1.2.840.10008.5.1.4.1.1.12.2",  # X-Ray Radiofluoroscopic
}


@dataclass(frozen=True)
class ModalityLut:
    """The map from pixel values to modality values.

    Args:
        table: The table; None when slope and intercept define the map.
        slope: (0028,1053) Rescale Slope, not 0.
        intercept: (0028,1052) Rescale Intercept.
    """

    table: LookupTable | None = None
    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the modality values of pixel values."""
        if self.table is not None:
            return self.table(values).astype(np.float64)
        return values * self.slope + self.intercept

    @property
    def inverts(self) -> bool:
        """Whether high pixel values become low modality values."""
        return self.slope < 0 if self.table is None else self.table.inverts


def modality_lut(attributes: Attributes, *, signed: bool) -> ModalityLut:
    """Read the Modality LUT module; an item without a table and a slope of 0 say nothing.

    Args:
        attributes: The image's elements.
        signed: Whether pixel values may be negative.

    Raises:
        RadiographError: The module is malformed.
    """
    items = filled_items(attributes, "ModalityLUTSequence")
    if items and not _leads_back_to_linear(attributes):
        return ModalityLut(lookup_table(items[0], signed=signed))
    slope = attributes.number("RescaleSlope")
    intercept = attributes.number("RescaleIntercept")
    if slope == 0:  # it would make every pixel the same
        _log.warning("%s is 0; it is ignored", attributes.named("RescaleSlope"))
        return ModalityLut()
    return ModalityLut(slope=1.0 if slope is None else slope, intercept=intercept or 0.0)


def _leads_back_to_linear(attributes: Attributes) -> bool:
    # In angiography the table turns logarithmic pixels back into intensities, for measuring; it is
    # not part of the way to the display (PS3.3 C.8.7.1.1.2, PS3.4 N.2.1.2).
    return (
        attributes.text("SOPClassUID") in _ANGIOGRAPHY
        and or_unknown(attributes.text, "PixelIntensityRelationship", "").upper() != "LIN"
    )
