"""One image that anybody can make again, and what a network makes of it.

Whoever gets a network from somebody else, or runs it in another program or on another machine,
wants to know whether it still computes what it did. The image is made of whole numbers, so that it
is the same everywhere. Sums of floating point are not: the output is known by a hash, which holds
on a machine alike, and by means of blocks, which hold within a tolerance elsewhere.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from radenhance.arrays import Image
from radenhance.enhancer import ContrastEnhancer

ROWS, COLUMNS = 64, 96
BLOCK = 8
TOLERANCE = 1e-3
"""Largest difference of a block's mean; of the range [0, 1]."""

BITS = 16


@dataclass(frozen=True)
class ProbeOutput:
    """What a network made of the probe.

    Args:
        sha256: Of the enhanced pixels, as little-endian float32 row by row, in hex.
        block_means: Means of blocks of 8 x 8 pixels, row by row.
    """

    sha256: str
    block_means: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as a metadata file holds it."""
        return {
            "rows": ROWS,
            "columns": COLUMNS,
            "output_sha256": self.sha256,
            "block": BLOCK,
            "block_means": list(self.block_means),
            "tolerance": TOLERANCE,
        }

    @classmethod
    def from_json(cls, value: Any) -> "ProbeOutput":
        """Return what a metadata file holds.

        Raises:
            ValueError: It holds something else.
        """
        means = value.get("block_means") if isinstance(value, Mapping) else None
        if not isinstance(means, list) or len(means) != ROWS * COLUMNS // BLOCK**2:
            raise ValueError("it does not say what the network makes of the probe")
        if not all(isinstance(mean, float) and math.isfinite(mean) for mean in means):
            raise ValueError("what the network makes of the probe is not in numbers")
        return cls(str(value.get("output_sha256")), tuple(means))

    def difference(self, other: "ProbeOutput") -> float:
        """Return the largest difference of a block's mean."""
        pairs = zip(self.block_means, other.block_means, strict=True)
        return max(abs(one - another) for one, another in pairs)


def probe(rows: int = ROWS, columns: int = COLUMNS) -> npt.NDArray[np.uint16]:
    """Return the image: a ramp, a chessboard, a disc and grain; 16 bits, bone bright."""
    y, x = np.mgrid[:rows, :columns]
    disc = (x - columns // 2) ** 2 + (y - rows // 2) ** 2 < (min(rows, columns) // 3) ** 2
    slope = 16000 * x // columns + 9000 * y // rows
    grain = (7919 * x + 104729 * y) % 1009
    made = 12000 + slope + 9000 * ((x // 8 + y // 8) % 2) + 12000 * disc + grain
    pixels: npt.NDArray[np.uint16] = made.astype(np.uint16)
    return pixels


@torch.inference_mode()
def probed(network: ContrastEnhancer) -> ProbeOutput:
    """Return what a network on the CPU, in evaluation, makes of the probe."""
    raw = torch.from_numpy(probe().astype(np.float32) / np.float32(2**BITS - 1))
    enhanced: Image = network.predict_step({"raw": raw[None, None]}, 0)[0, 0].numpy()
    content = np.ascontiguousarray(enhanced, "<f4").tobytes()
    blocks = enhanced.astype(np.float64).reshape(ROWS // BLOCK, BLOCK, COLUMNS // BLOCK, BLOCK)
    means = blocks.mean(axis=(1, 3)).flatten()
    rounded = tuple(round(float(mean), 7) for mean in means)
    return ProbeOutput(hashlib.sha256(content).hexdigest(), rounded)
