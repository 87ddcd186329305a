"""Limits of size, above which a file is refused.

A few header bytes can declare an image of gigabytes. Sizes are therefore compared with these limits
and with the number of bytes in the file before anything is allocated.
"""

from pathlib import Path

from radenhance.errors import RadiographError

MAX_SIDE = 20_000
"""Largest number of rows or columns; the largest digital detectors have about 5000."""

MAX_PIXELS = 200_000_000
"""Largest number of rows times columns: 400 MB as uint16."""

MAX_HEADER_BYTES = 64 * 2**20
"""Largest DICOM header, with lookup tables, overlays, icons and private elements."""

MAX_IMAGE_FILE_BYTES = 2 * MAX_PIXELS + 2**20
"""Largest PNG, TIFF or NPY file."""


def check_size(path: Path, rows: int, columns: int, *, names: str = "rows x columns") -> None:
    """Refuse an image of no pixels, or of absurdly many.

    Args:
        path: The file's name, for error messages.
        rows: Declared number of rows.
        columns: Declared number of columns.
        names: The names of the two in the file's format.

    Raises:
        RadiographError: A side is not in [1, MAX_SIDE], or there are more than MAX_PIXELS.
    """
    if 1 <= rows <= MAX_SIDE and 1 <= columns <= MAX_SIDE and rows * columns <= MAX_PIXELS:
        return
    raise RadiographError(
        f"{path}: {names} is {rows} x {columns}, expected 1 to {MAX_SIDE} a side and at most "
        f"{MAX_PIXELS // 10**6} million pixels"
    )
