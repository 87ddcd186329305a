"""Several networks that enhance a radiograph together, and where they disagree.

Networks of other seeds, folds or recipes err in other places: their mean errs less, and where they
differ, none of them should be believed. It costs as much time as all of them, and as much memory as
one at a time needs for an image.
"""

from collections.abc import Sequence
from functools import reduce

import numpy as np

from radenhance import __version__
from radenhance.arrays import Image
from radenhance.dicom.radiograph import Radiograph
from radenhance.errors import UsageError
from radenhance.inference.model import NetworkEnhancer

LONGEST = 800
"""Characters of a list of hashes, of the 1024 that DICOM allows a description."""


class Ensemble:
    """The mean of several networks.

    Args:
        networks: Two or more.

    Raises:
        UsageError: There are fewer than two.
    """

    def __init__(self, networks: Sequence[NetworkEnhancer]) -> None:
        if len(networks) < 2:
            raise UsageError("a mean of networks needs two or more of them")
        self.networks = list(networks)
        self.name = f"mean of {len(networks)}"
        hashes = ", ".join(network.sha256 for network in networks)
        if len(hashes) > LONGEST:
            hashes = ", ".join(network.sha256[:12] for network in networks)
        self.description = (
            f"Contrast enhanced by the mean of {len(networks)} neural networks of radenhance "
            f"{__version__}, checkpoint SHA-256 {hashes}"
        )

    def describe(self, radiograph: Radiograph) -> str:
        """Return the description."""
        return self.description

    def __call__(self, radiograph: Radiograph) -> Image:
        """Return the mean of the enhanced pixels."""
        return self.with_disagreement(radiograph)[0]

    def with_disagreement(self, radiograph: Radiograph) -> tuple[Image, Image]:
        """Return the mean of the enhanced pixels, and their standard deviation over the networks.

        Both are float32, of the radiograph's rows and columns. No more than three images are in
        memory at a time (Welford's algorithm).
        """
        mean, squares = reduce(
            _added,
            enumerate((network(radiograph) for network in self.networks[1:]), start=2),
            (self.networks[0](radiograph), np.zeros(radiograph.shape, np.float32)),
        )
        return mean, np.sqrt(squares / (len(self.networks) - 1))


def _added(so_far: tuple[Image, Image], numbered: tuple[int, Image]) -> tuple[Image, Image]:
    (mean, squares), (number, image) = so_far, numbered
    difference = image - mean
    mean = mean + difference / np.float32(number)
    return mean, squares + difference * (image - mean)
