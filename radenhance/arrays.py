"""Types of arrays, by what they hold: numpy's own say neither the shape nor the range."""

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.float32]
"""An image, shape (rows, columns); values are in [0, 1] unless documented otherwise."""

Mask = npt.NDArray[np.bool_]
"""A mask of an image, shape (rows, columns)."""

Floats = npt.NDArray[np.float32]
"""Floating-point numbers of any shape."""

Points = npt.NDArray[np.float64]
"""Points, shape (num_points, 2): x and y, in pixels or millimetres."""
