"""The staged network against the library's own forward pass, before anything is trained with it.

`stages.py` repeats what `smp.Unet.forward` does. A release of the library may do something else, or
an encoder may bring a part that is not among the stages: the network would then train, and compute
another function than its name and its weights promise. So both are run once on a small image, and a
network that differs is refused. It costs two forward passes of 64 x 64 pixels per architecture and
process, and leaves buffers and random numbers as they are.
"""

import segmentation_models_pytorch as smp
import torch
from torch import Tensor

from radenhance.compat.torch import FakeTensor
from radenhance.errors import UsageError
from radenhance.network.stages import run_stages, stages_of

SIDE = 64
"""Pixels of a side of the image: the deepest map has four pixels."""

TOLERANCE = 1e-4
"""Share of the largest value of the output; the operations are the same, their order may not."""

_compared: set[str] = set()


def compare_once(unet: smp.Unet, encoder: str) -> None:
    """Compare the first network of an architecture in this process, as `refuse_if_unequal` does.

    Networks of fake tensors and on the meta device have no values to compare.

    Args:
        unet: The network.
        encoder: The name of its encoder, which stands for the architecture.
    """
    if encoder not in _compared and all(map(_has_values, unet.parameters())):
        refuse_if_unequal(unet, encoder)
        _compared.add(encoder)


def refuse_if_unequal(unet: smp.Unet, encoder: str) -> None:
    """Refuse a network whose stages do not compute what its own `forward` computes.

    Args:
        unet: The network; its buffers and its mode stay as they are.
        encoder: The name of its encoder, for the message.

    Raises:
        UsageError: They differ, or the network cannot run on a small image.
    """
    image = _image(next(unet.parameters()))
    training = [module for module in unet.modules() if module.training]
    unet.eval()
    try:
        with torch.no_grad():
            own = _library_output(unet, image, encoder)
            staged = run_stages(stages_of(unet), image)
    finally:
        for module in training:
            module.training = True
    atol = TOLERANCE * own.abs().max().item()
    if staged.shape == own.shape and torch.allclose(staged, own, rtol=0, atol=atol):
        return
    raise UsageError(
        f'ContrastEnhancer(encoder="{encoder}") cannot be taken apart into stages: together they '
        f"compute something else than the U-Net of segmentation-models-pytorch {smp.__version__}; "
        f"use another encoder, such as resnet34, or the release of the library in constraints.txt"
    )


def _library_output(unet: smp.Unet, image: Tensor, encoder: str) -> Tensor:
    try:
        output: Tensor = unet(image)
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UsageError(
            f'ContrastEnhancer(encoder="{encoder}") cannot run on {SIDE} x {SIDE} pixels '
            f"({error}); use an encoder for images of any size, such as resnet34"
        ) from error
    return output


def _has_values(tensor: Tensor) -> bool:
    return not tensor.is_meta and not isinstance(tensor, FakeTensor)


def _image(like: Tensor) -> Tensor:
    """Return an image without symmetry, and without drawing random numbers."""
    pixels = torch.arange(SIDE * SIDE, dtype=like.dtype, device=like.device)
    return (pixels * 0.7).sin().view(1, 1, SIDE, SIDE)
