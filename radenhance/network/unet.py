"""The U-Net of the paper: an encoder of segmentation-models-pytorch, one channel in and out."""

import re
from functools import cache
from pathlib import Path

import segmentation_models_pytorch as smp
import timm
import torch
import torch.nn.functional as F
from segmentation_models_pytorch.encoders import get_encoder_names
from segmentation_models_pytorch.encoders.efficientnet import EfficientNetEncoder
from segmentation_models_pytorch.encoders.timm_efficientnet import EfficientNetBaseEncoder
from torch import Tensor, nn

from radenhance.errors import ImageSizeError, ParameterError, UsageError
from radenhance.network.comparison import compare_once
from radenhance.network.encoder_weights import load_encoder

DEEPEST_STRIDE = 32
"""Input pixels per pixel of the encoder's last feature map; sides must be multiples of it."""

UNUSED = {
    EfficientNetEncoder: ("_conv_head", "_bn1"),
    EfficientNetBaseEncoder: ("conv_head", "bn2"),
}
"""Encoder -> what it keeps of its classifier, and never runs."""


def build_unet(encoder: str = "resnet34", *, encoder_weights: str | None = None) -> smp.Unet:
    """Return a U-Net with one input and one output channel and no activation after its head.

    Args:
        encoder: Name of an encoder of segmentation-models-pytorch, or `tu-NAME` of timm.
        encoder_weights: None for random weights; the path of a state dict, as `load_encoder` takes
            it; or a name such as `imagenet`, which is downloaded unless it is in the local cache.

    Raises:
        UsageError: There is no such encoder, or it cannot be taken apart into stages; the weights
            are not there, or do not fit.
    """
    if encoder not in get_encoder_names() and not encoder.startswith("tu-"):
        raise ParameterError(
            "ContrastEnhancer.encoder",
            got=encoder,
            expected=f"an encoder of segmentation-models-pytorch "
            f"({', '.join(get_encoder_names()[:6])}, ...) or tu-NAME for one of timm",
        )
    file = Path(encoder_weights) if encoder_weights else None
    if file is None or not file.suffix:
        unet = _from_library(encoder, encoder_weights)
    else:
        unet = _from_library(encoder, None)
        load_encoder(unet.encoder, file)
    compare_once(unet, encoder)
    return unet


def start_at_zero(unet: smp.Unet) -> None:
    """Let a network begin with an output of 0, for training to add what is needed."""
    convolution = unet.segmentation_head[0]
    torch.nn.init.zeros_(convolution.weight)
    torch.nn.init.zeros_(convolution.bias)


def is_known_encoder(name: object) -> bool:
    """Return whether a name is of an encoder that the libraries hold, and nothing to be fetched.

    Whoever types a name may let timm fetch it (`tu-hf-hub:...`); a file may not.
    """
    if not isinstance(name, str):
        return False
    of_timm = re.fullmatch(r"tu-(\w+(\.\w+)?)", name, re.ASCII)
    return name in get_encoder_names() or (of_timm is not None and timm.is_model(of_timm[1]))


@cache
def shapes_of(encoder: str) -> dict[str, torch.Size] | None:
    """Return the shapes of a U-Net's weights by name, without memory for them.

    Returns:
        None for the few encoders that compute with values while they are built.
    """
    try:
        with torch.device("meta"):
            unet = _from_library(encoder, None)
    except UsageError:
        return None
    return {f"unet.{name}": tensor.shape for name, tensor in unet.state_dict().items()}


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
            f"columns; use larger images (RadiographDataModule.image_size, "
            f"RadiographDataModule.crop_size)"
        )
    if not below and not right:
        return image
    return F.pad(image, (0, right, 0, below), mode="reflect")


def _from_library(encoder: str, weights: str | None) -> smp.Unet:
    try:
        unet = smp.Unet(encoder, encoder_weights=weights, in_channels=1, classes=1)
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        if weights is None:
            raise UsageError(
                f"ContrastEnhancer.encoder {encoder} cannot be built: {error}"
            ) from error
        reason = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        raise UsageError(
            f"ContrastEnhancer.encoder_weights {weights} is not available for {encoder} "
            f"({reason}); without a network, give the path of a state dict, or None for random "
            f"weights"
        ) from error
    _freeze_unused(unet.encoder)
    return unet


def _freeze_unused(encoder: nn.Module) -> None:
    """Freeze what an encoder's `forward` never runs; it stays in the state dict, for checkpoints.

    DistributedDataParallel waits for the gradient of each weight that is trained.
    """
    for kind, names in UNUSED.items():
        if isinstance(encoder, kind):
            for name in names:
                encoder.get_submodule(name).requires_grad_(False)
