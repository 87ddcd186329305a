"""What would train wrongly with one half of a network in each process."""

import inspect

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging
from lightning.pytorch.utilities import rank_zero_warn
from torch.optim import Optimizer

from radenhance.compat.lightning import callbacks_of, synchronizes_batchnorm
from radenhance.errors import UsageError

DECIDED_HERE = {
    "backward": "forward and backward passes of both processes are one",
    "configure_gradient_clipping": "each process has gradients of one half of the network; use "
    "Trainer(gradient_clip_val=...), which takes the norm of both",
}
"""Methods of a LightningModule that are not called, or would see one half -> why."""


def refuse_unsupported(trainer: Trainer, module: LightningModule) -> None:
    """Refuse what would train wrongly with a network on two devices.

    Raises:
        UsageError: The message names it, and what to use instead.
    """
    if trainer.state.fn != "fit":
        return
    name = type(module).__name__
    if not module.automatic_optimization:
        raise UsageError(
            f"{name}.automatic_optimization is False, expected True: the strategy "
            f"encoder_decoder runs the backward pass itself"
        )
    for method, why in DECIDED_HERE.items():
        if getattr(type(module), method) is not getattr(LightningModule, method):
            raise UsageError(
                f"{name} overrides {method}, which it cannot under the strategy encoder_decoder: "
                f"{why}"
            )
    if synchronizes_batchnorm(trainer):
        raise UsageError(
            "Trainer(sync_batchnorm=True) is not for the strategy encoder_decoder, whose BatchNorm "
            "sees one micro-batch; use EncoderDecoderStrategy(micro_batch_size=...)"
        )
    averaging = (StochasticWeightAveraging, WeightAveraging)
    for callback in callbacks_of(trainer):
        if isinstance(callback, averaging):
            raise UsageError(
                f"the strategy encoder_decoder cannot run {type(callback).__name__}, which would "
                f"average the weights of one device only; use WeightAverage.kind"
            )


def refuse_joint_optimizer(optimizer: Optimizer) -> None:
    """Refuse an optimizer whose step of a parameter depends on the gradients of others.

    Each process has one half of the parameters. What the optimizer does is tried out on two numbers
    of its own.

    Raises:
        UsageError: It is such an optimizer.
    """
    name = type(optimizer).__name__
    if isinstance(optimizer, torch.optim.LBFGS):
        alone = False
    else:
        try:
            alone = _stepped(optimizer, 1.0) == _stepped(optimizer, 100.0)
        except Exception as error:  # any optimizer's own
            rank_zero_warn(
                f"whether {name} treats each parameter by itself cannot be found out ({error}); "
                f"under the strategy encoder_decoder each process has one half of them"
            )
            return
    if not alone:
        raise UsageError(
            f"{name} computes with all gradients together, and under the strategy encoder_decoder "
            f"each process has those of one half of the network; use an optimizer that treats each "
            f"parameter by itself, such as AdamW or SGD"
        )


def _stepped(optimizer: Optimizer, other: float) -> float:
    """Return where steps take a parameter beside another one with the gradient `other`."""
    speed = ("foreach", "fused", "capturable", "differentiable")
    options = {name: value for name, value in optimizer.defaults.items() if name not in speed}
    accepted = inspect.signature(type(optimizer)).parameters
    options = {name: value for name, value in options.items() if name in accepted}
    here, there = (torch.nn.Parameter(torch.ones(1)) for _ in range(2))
    tried = type(optimizer)([here, there], **options)
    for group in tried.param_groups:
        group["lr"] = 0.1
    for gradient in (1.0, 0.5):
        here.grad, there.grad = torch.tensor([gradient]), torch.tensor([other * gradient])
        tried.step()
    return here.item()
