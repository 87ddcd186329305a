"""Values as the file wants them viewed: the VOI LUT module of DICOM (PS3.3 C.11.2).

Everything here works on a table of the at most 65536 values that a pixel can have; an image of 17
million pixels then takes one look-up each.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from radenhance.dicom.attributes import Attributes
from radenhance.dicom.lookup_table import lookup_table

VIEWING_BITS = 16
"""Bits of a viewed pixel where no table says otherwise."""

_Values = npt.NDArray[np.float64]


def viewed(attributes: Attributes, values: _Values) -> tuple[npt.NDArray[np.uint16], int]:
    """Apply the VOI LUT, else the first window, else stretch to full scale.

    Args:
        attributes: The image.
        values: Modality values of all pixel values, in the order of the latter.

    Returns:
        uint16 of the same shape, and the bits that they are declared to have.

    Raises:
        RadiographError: The module is malformed.
    """
    items = attributes.items("VOILUTSequence")
    if items:
        table = lookup_table(items[0], signed=bool(values.min() < 0))
        return table(values), table.bits
    unit = _windowed(attributes, values)
    if unit is None:
        low, high = values.min(), values.max()
        unit = (values - low) / max(high - low, np.finfo(float).tiny)
    return np.rint(unit * (2**VIEWING_BITS - 1)).astype(np.uint16), VIEWING_BITS


def _windowed(attributes: Attributes, values: _Values) -> _Values | None:
    centers, widths = attributes.numbers("WindowCenter"), attributes.numbers("WindowWidth")
    if not centers and not widths:
        return None
    if len(centers) != len(widths):
        raise attributes.error(
            "WindowCenter", f"has {len(centers)} values, (0028,1051) Window Width {len(widths)}"
        )
    name = attributes.text("VOILUTFunction").upper() or "LINEAR"
    function = _FUNCTIONS.get(name)
    if function is None:
        raise attributes.error(
            "VOILUTFunction", f"is {name}, expected LINEAR, LINEAR_EXACT or SIGMOID"
        )
    smallest = 1.0 if name == "LINEAR" else np.finfo(float).tiny
    if widths[0] < smallest:
        raise attributes.error("WindowWidth", f"is {widths[0]:g}, which is no width")
    return function(values, centers[0], widths[0])


def _linear(values: _Values, center: float, width: float) -> _Values:
    # C.11.2.1.2.1: an integer width counts values, so that the ramp is half a value narrower at
    # either end. With a width of 1 it is a step.
    if width == 1:
        return (values > center - 0.5).astype(np.float64)
    return _linear_exact(values, center - 0.5, width - 1)


def _linear_exact(values: _Values, center: float, width: float) -> _Values:
    # C.11.2.1.3.2
    return np.clip((values - center) / width + 0.5, 0, 1)


def _sigmoid(values: _Values, center: float, width: float) -> _Values:
    # C.11.2.1.3.1; beyond +-700 the exponential overflows, and the result is 0 or 1 all the same.
    return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -700, 700)))


_FUNCTIONS: dict[str, Callable[[_Values, float, float], _Values]] = {
    "LINEAR": _linear,
    "LINEAR_EXACT": _linear_exact,
    "SIGMOID": _sigmoid,
}
