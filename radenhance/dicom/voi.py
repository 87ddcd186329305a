"""Values for presentation: what the VOI LUT module makes of them (PS3.3 C.11.2).

Everything here works on a table of the at most 65536 values that a pixel can have; an image of 17
million pixels then takes one look-up each. The windows' arithmetic is pydicom's; what it is given
is checked here first, because pydicom takes what it finds.
"""

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.pixels import apply_windowing

from radenhance.dicom.attributes import Attributes
from radenhance.dicom.lookup_table import lookup_table

PRESENTATION_BITS = 16
"""Bits of a value for presentation where no table says otherwise."""

_TINY = np.finfo(float).tiny
_SMALLEST_WIDTH = {"LINEAR": 1.0, "LINEAR_EXACT": _TINY, "SIGMOID": _TINY}

_Values = npt.NDArray[np.float64]


def presentation_values(
    attributes: Attributes, values: _Values
) -> tuple[npt.NDArray[np.uint16], int]:
    """Apply the VOI LUT, else the first window, else stretch to full scale.

    Args:
        attributes: The image's elements.
        values: Modality values of all pixel values, in the order of the latter.

    Returns:
        The values for presentation, uint16, of the same shape, and the bits declared for them.

    Raises:
        RadiographError: The module is malformed.
    """
    items = attributes.items("VOILUTSequence")
    if items:
        table = lookup_table(items[0], signed=bool(values.min() < 0))
        return table(values), table.bits
    window = _first_window(attributes)
    if window is not None:
        return np.rint(_windowed(values, *window)).astype(np.uint16), PRESENTATION_BITS
    low, high = values.min(), values.max()
    unit = (values - low) / max(high - low, _TINY)
    return np.rint(unit * (2**PRESENTATION_BITS - 1)).astype(np.uint16), PRESENTATION_BITS


def _first_window(attributes: Attributes) -> tuple[str, float, float] | None:
    """Return function, center and width of the first window, None where there is none."""
    centers, widths = attributes.numbers("WindowCenter"), attributes.numbers("WindowWidth")
    if not centers and not widths:
        return None
    if len(centers) != len(widths):
        raise attributes.error(
            "WindowCenter", f"has {len(centers)} values, (0028,1051) Window Width {len(widths)}"
        )
    function = attributes.text("VOILUTFunction").upper() or "LINEAR"
    if function not in _SMALLEST_WIDTH:
        raise attributes.error(
            "VOILUTFunction", f"is {function}, expected LINEAR, LINEAR_EXACT or SIGMOID"
        )
    if widths[0] < _SMALLEST_WIDTH[function]:
        raise attributes.error("WindowWidth", f"is {widths[0]:g}, which is no width")
    return function, centers[0], widths[0]


def _windowed(values: _Values, function: str, center: float, width: float) -> _Values:
    window = Dataset()
    window.VOILUTFunction, window.WindowCenter, window.WindowWidth = function, center, width
    window.PhotometricInterpretation = "MONOCHROME2"  # its own is applied later: polarity.py
    window.BitsStored, window.PixelRepresentation = PRESENTATION_BITS, 0  # of the result
    with np.errstate(over="ignore"):  # far from a sigmoid's center, where it is 0 all the same
        scaled: _Values = apply_windowing(values, window)
    return scaled
