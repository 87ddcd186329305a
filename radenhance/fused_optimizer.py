"""One kernel for an optimizer's step over all weights, where PyTorch has one.

Adam, AdamW, SGD and Adagrad have one for a CPU and for a GPU, without memory beside weights,
gradients and averages; the step is the same but for rounding. It is an option of a group of
weights, not of the run: a run goes on with it from any checkpoint, and the other way round.
"""

from collections.abc import Iterable, MutableMapping
from typing import Any

import torch
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer


def fuse(optimizer: Optimizer, saved: Iterable[MutableMapping[str, Any]] = ()) -> None:
    """Let an optimizer step in one kernel, if its class has one and no option says otherwise.

    Args:
        optimizer: The optimizer, which has not stepped.
        saved: Groups of a checkpoint, to be loaded in place of its own; they are changed alike.
    """
    if type(optimizer) not in (Adam, AdamW, SGD, Adagrad):
        return
    groups = optimizer.param_groups
    options = ("fused", "foreach", "capturable", "differentiable", "maximize")
    tensors = [tensor for group in groups for tensor in group["params"]]
    known = all(t.device.type in ("cpu", "cuda") and t.is_floating_point() for t in tensors)
    if not known or any(group.get(option) for group in groups for option in options):
        return
    if any(group["fused"] is False or torch.is_tensor(group["lr"]) for group in groups):
        return
    for group in (*groups, *saved):
        group["fused"] = True
