"""Values for presentation: what the VOI LUT module makes of them (PS3.3 C.11.2).

Everything here works on a table of the at most 65536 values that a pixel can have; an image of 17
million pixels then takes one look-up each. The windows' arithmetic is pydicom's; what it is given
is checked here first, because pydicom takes what it finds.
"""

from collections.abc import Callable, Iterator
from functools import partial
from logging import getLogger

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.pixels import apply_windowing

from radenhance.dicom.attributes import Attributes
from radenhance.dicom.lookup_table import filled_items, lookup_table
from radenhance.errors import RadiographError

PRESENTATION_BITS = 16
"""Bits of a value for presentation where no table says otherwise."""

_TINY = np.finfo(float).tiny
_SMALLEST_WIDTH = {"LINEAR": 1.0, "LINEAR_EXACT": _TINY, "SIGMOID": _TINY}

_Values = npt.NDArray[np.float64]
_Shown = tuple[npt.NDArray[np.uint16], int]
_View = Callable[[_Values], _Shown]

_log = getLogger(__name__)


def presentation_values(attributes: Attributes, values: _Values) -> _Shown:
    """Apply the first VOI LUT, else the first window, else stretch to full scale.

    What is empty counts as absent. What is malformed is passed over with a warning where the header
    has another one: devices write several views of one image.

    Args:
        attributes: The image's elements.
        values: Modality values of all pixel values, in the order of the latter.

    Returns:
        The values for presentation, uint16, of the same shape, and the bits declared for them.

    Raises:
        RadiographError: All that the module holds is malformed.
    """
    failures: list[RadiographError] = []
    for view in _views(attributes, signed=bool(values.min() < 0)):
        try:
            seen = view(values)
        except RadiographError as error:
            failures.append(error)
            continue
        if failures:
            _log.warning("%s; the next one in the header is taken", failures[-1])
        return seen
    if failures:
        raise failures[0]
    low, high = values.min(), values.max()
    unit = (values - low) / max(high - low, _TINY)
    return _full_scale(unit * (2**PRESENTATION_BITS - 1))


def _views(attributes: Attributes, *, signed: bool) -> Iterator[_View]:
    for item in filled_items(attributes, "VOILUTSequence"):
        yield partial(_looked_up, item, signed)
    centers, widths = attributes.numbers("WindowCenter"), attributes.numbers("WindowWidth")
    if len(centers) != len(widths):
        _log.warning(
            "%s has %d values, (0028,1051) Window Width %d; what has no partner is ignored",
            attributes.named("WindowCenter"),
            len(centers),
            len(widths),
        )
    for center, width in zip(centers, widths, strict=False):
        if width == 0:  # what devices write for none
            _log.warning("%s is 0; the window is ignored", attributes.named("WindowWidth"))
        else:
            yield partial(_windowed, attributes, center, width)


def _looked_up(item: Attributes, signed: bool, values: _Values) -> _Shown:
    table = lookup_table(item, signed=signed)
    largest = int(table.entries.max())
    bits = max(largest.bit_length(), 8)
    # A table is for a display: one whose brightest entry is dark there was made for fewer bits.
    if bits <= table.bits - 2 or (bits < table.bits and largest == (1 << bits) - 1):
        _log.warning(
            "%s declares %d bits, but its largest entry is %d; taken as %d bits",
            item.named("LUTDescriptor"),
            table.bits,
            largest,
            bits,
        )
        return table(values), bits
    return table(values), table.bits


def _windowed(attributes: Attributes, center: float, width: float, values: _Values) -> _Shown:
    function = attributes.text("VOILUTFunction").upper() or "LINEAR"
    if function not in _SMALLEST_WIDTH:
        _log.warning("%s is %s; LINEAR is taken", attributes.named("VOILUTFunction"), function)
        function = "LINEAR"
    if width < _SMALLEST_WIDTH[function]:
        raise attributes.error("WindowWidth", f"is {width:g}, which is no width")
    window = Dataset()
    window.VOILUTFunction, window.WindowCenter, window.WindowWidth = function, center, width
    window.PhotometricInterpretation = "MONOCHROME2"  # its own is applied later: polarity.py
    window.BitsStored, window.PixelRepresentation = PRESENTATION_BITS, 0  # of the result
    with np.errstate(over="ignore"):  # far from a sigmoid's center, where it is 0 all the same
        return _full_scale(apply_windowing(values, window))


def _full_scale(values: _Values) -> _Shown:
    return np.rint(values).astype(np.uint16), PRESENTATION_BITS
