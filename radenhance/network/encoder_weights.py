"""Weights of an encoder in a file of torchvision, timm or segmentation-models-pytorch.

Such files are of classifiers of photographs. An encoder for radiographs has one channel in place of
three, and no classifier, and each library puts another word before the names.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from radenhance.errors import UsageError
from radenhance.torch_file import read_torch_file

PREFIXES = ("module.", "unet.", "model.", "encoder.", "backbone.")
"""What wrappers put before names, outermost first."""

TIMM = "model."
"""What an encoder `tu-NAME` puts before timm's names."""
NESTED = ("state_dict", "model")
"""Where a training script's file has the weights."""

COUNTS = "num_batches_tracked"
"""What files from before PyTorch 0.4.1 lack."""

FORMAT = (
    "a state dict that torch.save or safetensors wrote; what another program or torch.save before "
    "1.6 wrote becomes one with torch.save(torch.load(FILE, weights_only=True), NEW_FILE)"
)


def load_encoder(encoder: nn.Module, file: Path) -> None:
    """Give an encoder with one input channel the weights in a file.

    The weights of the first convolution are summed over their input channels, so that a grey image
    gives what it gave as red, green and blue.

    Args:
        encoder: An encoder of segmentation-models-pytorch.
        file: A state dict: .safetensors, or as `torch.save` writes it.

    Raises:
        UsageError: The file is not there, damaged, or does not fit.
    """
    if not file.is_file():
        raise UsageError(f"ContrastEnhancer.encoder_weights {file}: no such file; give {FORMAT}")
    own = encoder.state_dict()
    theirs = _matched(_read(file), own)
    missing = [name for name in own if name not in theirs and not name.endswith(COUNTS)]
    unknown = [name for name in theirs if name not in own]
    other = [name for name in theirs if name in own and theirs[name].shape != own[name].shape]
    for names, what in ((missing, "lacks"), (unknown, "has"), (other, "has another shape of")):
        if names:
            raise UsageError(
                f"ContrastEnhancer.encoder_weights {file} is of another encoder: it {what} "
                f"{names[0]} ({len(names)} of {len(own)} names); name its encoder with "
                f"ContrastEnhancer.encoder"
            )
    encoder.load_state_dict({**own, **theirs})


def _read(file: Path) -> dict[str, Tensor]:
    try:
        content: Any = load_file(file) if file.suffix == ".safetensors" else read_torch_file(file)
    except (UsageError, SafetensorError, OSError) as error:
        raise UsageError(
            f"ContrastEnhancer.encoder_weights {file} cannot be read; give {FORMAT}"
        ) from error
    for name in NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping) or not content:
        content = {}
    weights = {str(name): tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}
    if not weights or not all(tensor.isfinite().all() for tensor in weights.values()):
        raise UsageError(
            f"ContrastEnhancer.encoder_weights {file} holds no weights, or some that are not "
            f"finite; give {FORMAT}"
        )
    return weights


def _matched(theirs: dict[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights by the encoder's names, for its number of channels, without a classifier."""
    best = max(_renamed(theirs), key=lambda renamed: len(own.keys() & renamed.keys()))
    parts = {_part(name) for name in own}
    named = {name: tensor for name, tensor in best.items() if _part(name) in parts}
    first = next(name for name, tensor in own.items() if tensor.ndim == 4)
    if first in named and named[first].ndim == 4 and own[first].shape[1] == 1:
        named[first] = named[first].sum(dim=1, keepdim=True)
    return named


def _part(name: str) -> str:
    """Return the part of a network that a weight is of; an encoder has fewer than a classifier."""
    return name.removeprefix(TIMM).partition(".")[0]


def _renamed(theirs: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Yield the weights by the names that another library may have for them."""
    yield {f"{TIMM}{name}": tensor for name, tensor in theirs.items()}
    yield theirs
    for prefix in PREFIXES:
        within = {name: tensor for name, tensor in theirs.items() if name.startswith(prefix)}
        if within:
            theirs = {name.removeprefix(prefix): tensor for name, tensor in within.items()}
            yield theirs
