"""What an array holds, as types."""

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.float32]
"""Shape (rows, columns); values of a radiograph in [0, 1] unless it says otherwise."""

Mask = npt.NDArray[np.bool_]
"""Shape (rows, columns) of an image."""

Floats = npt.NDArray[np.float32]
"""Any shape."""

Points = npt.NDArray[np.float64]
"""Shape (num_points, 2): x and y, in pixels or millimetres."""
