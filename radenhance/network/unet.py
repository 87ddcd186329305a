"""The U-Net of the paper: an encoder of segmentation-models-pytorch, one channel in and out."""

from pathlib import Path

import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from segmentation_models_pytorch.encoders import get_encoder_names
from torch import Tensor

from radenhance.errors import ImageSizeError, UsageError

DEEPEST_STRIDE = 32
"""Input pixels per pixel of the encoder's last feature map; sides must be multiples of it."""


def build_unet(encoder: str = "resnet34", *, encoder_weights: str | None = None) -> smp.Unet:
    """Return a U-Net with one input and one output channel and no activation after its head.

    Args:
        encoder: Name of an encoder of segmentation-models-pytorch, or `tu-NAME` of timm.
        encoder_weights: None for random weights; the path of a state dict saved with `torch.save`;
            or a name such as `imagenet`, which is downloaded unless it is in the local cache.

    Raises:
        UsageError: No such encoder; or the weights are not there, or do not fit.
    """
    if encoder not in get_encoder_names() and not encoder.startswith("tu-"):
        raise UsageError(
            f"--model.encoder {encoder} is not an encoder of segmentation-models-pytorch; use one "
            f"of {', '.join(get_encoder_names()[:6])}, ..., or tu-NAME for one of timm"
        )
    file = Path(encoder_weights) if encoder_weights else None
    if file is None or not file.suffix:
        return _from_library(encoder, encoder_weights)
    unet = _from_library(encoder, None)
    _load_encoder(unet, file)
    return unet


def pad_to_stride(image: Tensor) -> Tensor:
    """Return `image` (N, C, H, W) reflected below and to the right up to multiples of 32.

    Raises:
        ImageSizeError: A side is so small that there is not enough to reflect.
    """
    rows, columns = image.shape[-2:]
    below, right = -rows % DEEPEST_STRIDE, -columns % DEEPEST_STRIDE
    if below >= rows or right >= columns:
        raise ImageSizeError(
            f"images need at least {DEEPEST_STRIDE} pixels a side, got {rows} rows and {columns} "
            f"columns; use larger images (--data.image_size, --data.crop_size)"
        )
    if not below and not right:
        return image
    return F.pad(image, (0, right, 0, below), mode="reflect")


def _from_library(encoder: str, weights: str | None) -> smp.Unet:
    try:
        return smp.Unet(encoder, encoder_weights=weights, in_channels=1, classes=1)
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        if weights is None:
            raise UsageError(f"--model.encoder {encoder} cannot be built: {error}") from error
        reason = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        raise UsageError(
            f"--model.encoder_weights {weights} cannot be had for {encoder} ({reason}); without a "
            f"network, give the path of a state dict, or leave the flag out for random weights"
        ) from error


def _load_encoder(unet: smp.Unet, file: Path) -> None:
    if not file.is_file():
        raise UsageError(f"--model.encoder_weights {file}: no such file")
    try:
        unet.encoder.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    except Exception as error:
        raise UsageError(
            f"--model.encoder_weights {file} is not a state dict of this encoder with one input "
            f"channel: {str(error).splitlines()[0]}"
        ) from error
