"""Enhanced pixels as the whole numbers that a file stores.

Values out of range are refused and never clipped: what is written must be what was computed.
"""

import numpy as np
import numpy.typing as npt

from radenhance.errors import ParameterError, UsageError


def integer_pixels(
    enhanced: npt.NDArray[np.generic], bits: int, *, bits_given: int | None = None
) -> npt.NDArray[np.uint16]:
    """Return values in [0, 1] as whole numbers in [0, 2**bits - 1]; such numbers stay as they are.

    Args:
        enhanced: The pixels, shape (rows, columns); floating point in [0, 1], or uint16 in
            [0, 2**bits_given - 1].
        bits: Bits per pixel of the result, 8 to 16.
        bits_given: Bits per pixel of whole numbers that are given; those of the result when None.

    Returns:
        The whole numbers, uint16, shape (rows, columns).

    Raises:
        ParameterError: `bits` is not in 8 to 16.
        UsageError: A pixel is out of range or not a number, or the type is neither.
    """
    if not 8 <= bits <= 16:
        raise ParameterError("bits", got=bits, expected="8 to 16 bits per pixel")
    max_value = (1 << bits) - 1
    if enhanced.dtype == np.uint16 and bits_given is not None and bits_given != bits:
        enhanced = np.divide(enhanced, (1 << bits_given) - 1, dtype=np.float32)
    levels = _levels(enhanced, max_value)
    low, high = levels.min(), levels.max()
    if not (low >= 0 and high <= max_value):  # written so that NaN fails
        expected, remedy = 1, "clip what a network gives beyond them"
        if enhanced.dtype == np.uint16:
            expected, remedy = max_value, "give values of 16 bits with bits_given=16"
        raise UsageError(
            f"enhanced pixels span {enhanced.min()} to {enhanced.max()}, expected values from 0 to "
            f"{expected} and no NaN; {remedy}"
        )
    return levels.astype(np.uint16, copy=False)


def _levels(enhanced: npt.NDArray[np.generic], max_value: int) -> npt.NDArray[np.generic]:
    if enhanced.ndim != 2 or not enhanced.size:
        raise UsageError(f"enhanced pixels have shape {enhanced.shape}, expected (rows, columns)")
    if enhanced.dtype == np.uint16:
        return enhanced
    if not np.issubdtype(enhanced.dtype, np.floating):
        raise UsageError(f"enhanced pixels are {enhanced.dtype}, expected floating point or uint16")
    # float16 has 11 significant bits, too few for the product.
    wide = np.promote_types(enhanced.dtype, np.float32)
    levels: npt.NDArray[np.floating] = np.multiply(enhanced, max_value, dtype=wide)
    np.rint(levels, out=levels)
    return levels
