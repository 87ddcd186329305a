"""The correction of a network that was trained on reduced images, for images of any size.

How bright a region should be is a question of the whole image, and farther than a network at native
size sees. A network on a reduced image sees all of it and knows nothing of detail, so that its
enlarged correction is where one at native size begins.
"""

from collections.abc import Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from radenhance.network.unet import build_unet, pad_to_stride


class CoarseCorrection(nn.Module):
    """Runs a trained U-Net, which does not change any more, on images reduced to its size.

    Args:
        encoder: Name of the U-Net's encoder.
        image_size: Shorter side of the images that it was trained on, in pixels.
    """

    def __init__(self, encoder: str, image_size: int) -> None:
        super().__init__()
        self.settings = {"encoder": encoder, "image_size": image_size}
        self.unet = build_unet(encoder).requires_grad_(False)
        self.image_size = image_size
        self.eval()

    @override
    def train(self, mode: bool = True) -> Self:
        """Stay as trained: BatchNorm keeps its statistics."""
        return super().train(False)

    @override
    @torch.no_grad()
    def forward(self, raw: Tensor) -> Tensor:
        """Return what to add to images, of the same shape.

        Args:
            raw: Shape (N, 1, H, W), in [0, 1].
        """
        scale = min(1.0, self.image_size / min(raw.shape[-2:]))
        rows, columns = (round(side * scale) for side in raw.shape[-2:])
        reduced = F.interpolate(raw, (rows, columns), mode="area")
        correction = self.unet(pad_to_stride(reduced))[..., :rows, :columns]
        return enlarged(correction, raw.shape)


def enlarged(correction: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the correction of a reduced image at the rows and columns of the image.

    Args:
        correction: Shape (N, 1, h, w).
        shape: That of the image, of which the last two are rows and columns.
    """
    return F.interpolate(correction, tuple(shape[-2:]), mode="bicubic")
