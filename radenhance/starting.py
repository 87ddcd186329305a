"""What of earlier weights a network starts from, and in words what it does not.

Weights come from another run: of other images, perhaps another output, encoder or technique. What
does not fit begins as it would without them, and a run that learns the decoder anew without saying
so looks like one that does not learn.
"""

from collections.abc import Collection, Mapping
from typing import Literal

from torch import Tensor

from radenhance.checkpoint import CURRENT, RANGES, STATE, TECHNIQUES, Checkpoint
from radenhance.errors import UsageError
from radenhance.memory.techniques import MemoryTechniques

Fit = Literal["all", "encoder", "matching"]

NETWORK = "unet."
ENCODER = "unet.encoder."
HEAD = "unet.segmentation_head."
"""What the names of weights begin with."""

MOST_LISTED = 20


def weights_of(
    checkpoint: Checkpoint, fit: Fit, own: Mapping[str, Tensor], *, encoder: str, output: str
) -> dict[str, Tensor]:
    """Return the weights of a checkpoint that a network starts from, by the network's names.

    Args:
        checkpoint: Of an earlier run.
        fit: What is taken, see `ContrastEnhancer`. Ranges of quantized activations and a coarse
            correction are no part of encoder and matching.
        own: The network's weights now.
        encoder: The name of its encoder.
        output: What it gives.

    Raises:
        UsageError: They do not fit, or none of them.
    """
    is_same_output = checkpoint.output == output
    if fit == "all":
        if not is_same_output:
            raise UsageError(
                f"ContrastEnhancer.weights {checkpoint.name} was trained with "
                f"ContrastEnhancer.output {checkpoint.output}, not {output}; choose the same, or "
                f"start from a part of them (ContrastEnhancer.weights_fit)"
            )
        return checkpoint.state_for(own, encoder)
    start = ENCODER if fit == "encoder" else NETWORK
    without = RANGES if is_same_output else (RANGES, HEAD)
    found = {
        name: tensor
        for name, tensor in checkpoint.content[STATE].items()
        if name.startswith(start) and not name.startswith(without)
        if name in own and own[name].shape == tensor.shape
    }
    is_whole = found.keys() >= {name for name in own if name.startswith(ENCODER)}
    if not found or (fit == "encoder" and not is_whole):
        raise UsageError(
            f"ContrastEnhancer.weights {checkpoint.name} is of encoder {checkpoint.encoder}, of "
            f"which {len(found)} weights fit {encoder}; choose the same encoder, or leave the "
            f"weights out"
        )
    return found


def started_from(
    checkpoint: Checkpoint,
    taken: Collection[str],
    own: Collection[str],
    memory: MemoryTechniques,
) -> str:
    """Return in words what of a checkpoint's weights a network starts from.

    Args:
        checkpoint: Of an earlier run.
        taken: Names of what `weights_of` returned.
        own: Names of all of the network's weights.
        memory: The techniques that it runs with.
    """
    theirs = checkpoint.content[STATE]
    common = set(taken) & theirs.keys()
    said = [
        f"Of the {len(theirs)} tensors of ContrastEnhancer.weights {checkpoint.name}, "
        f"{len(common)} are taken"
    ]
    for what, all_names in (("new in this network", own), ("left out", theirs)):
        if names := set(all_names) - common:
            said.append(f"{what}: {_listed(names, all_names)}")
    if CURRENT in checkpoint.content:
        said.append("they are averages")
    for name in TECHNIQUES:
        before, now = (getattr(one, name) for one in (checkpoint.memory, memory))
        if before != now:
            said.append(
                f"they were trained with MemoryTechniques.{name} {before}, and compute something "
                f"else with {now}"
            )
    return "; ".join(said) + "."


def _listed(names: Collection[str], all_names: Collection[str]) -> str:
    """Return the layers that tensors are of; parts of the network that are there as a whole."""
    kept = {_part(name) for name in set(all_names) - set(names)}
    found = dict.fromkeys(_layer(name) if _part(name) in kept else _part(name) for name in names)
    listed = sorted(found)
    more = f" and {len(listed) - MOST_LISTED} more" if len(listed) > MOST_LISTED else ""
    return ", ".join(listed[:MOST_LISTED]) + more


def _layer(name: str) -> str:
    return name.removeprefix(NETWORK).rpartition(".")[0]


def _part(name: str) -> str:
    return name.removeprefix(NETWORK).partition(".")[0]
