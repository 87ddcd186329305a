"""Enhanced pixels as the whole numbers that a file stores."""

import numpy as np
import numpy.typing as npt

from radenhance.errors import UsageError


def stored_values(enhanced: npt.NDArray[np.generic], bits: int) -> npt.NDArray[np.uint16]:
    """Turn values in [0, 1] into whole numbers in [0, 2**bits - 1]; let such numbers pass.

    Args:
        enhanced: Shape (rows, columns), floating point in [0, 1] or uint16 in [0, 2**bits - 1].
        bits: 8 to 16.

    Returns:
        uint16, shape (rows, columns).

    Raises:
        UsageError: A value is out of range or not a number, or the type is neither.
    """
    if not 8 <= bits <= 16:
        raise UsageError(f"{bits} bits per pixel were asked for, expected 8 to 16")
    max_value = (1 << bits) - 1
    levels = _levels(enhanced, max_value)
    low, high = levels.min(), levels.max()
    if not (low >= 0 and high <= max_value):  # written so that NaN fails
        expected = max_value if enhanced.dtype == np.uint16 else 1
        raise UsageError(
            f"enhanced pixels span {enhanced.min()} to {enhanced.max()}, expected values from 0 to "
            f"{expected} and no NaN; clip them"
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
