"""What a memory technique is, and why two of them may exclude each other.

A network runs as a list of stages (`network.stages`), and a technique may step in three times:

    stages    the whole network   another function, or other weights      momentum, quantization
    running   stages of one run   the same function, run otherwise        banding, checkpointing
    saving    around that run     what becomes of the tensors that        offloading, quantization
                                  autograd saves for the backward pass

A run may be a part of the network: two devices run a half each. That is why `running` is a step of
its own: a band of the stem needs both ends of its skip on one device.

Every technique is on or off by its own values, checks them itself, and says once what it does not
go with. `MemoryTechniques` folds those that are on in the order of its list, without knowing any.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import segmentation_models_pytorch as smp
from torch import Tensor

from radenhance.errors import ParameterError, UsageError
from radenhance.network.stages import Stage


class Technique(ABC):
    """A way to train in less memory; does nothing by default.

    Its class variables say what holds of it whatever its values are:

    - parameter: The field of `MemoryTechniques` that turns it on, as errors name it.
    - excludes: The techniques that it does not go with, each with the reason.
    - changes_function: Whether the network computes something else of the same weights. If not,
      losses, gradients and buffers are those of training without it.
    - reorders_sums: Whether they are so only up to the rounding of sums, and not bit for bit.
    - examples: Values of `MemoryTechniques` with which `tests/test_same_gradients.py` tries it,
      alone and together with every other technique.
    """

    parameter: ClassVar[str]
    excludes: ClassVar[Mapping[type["Technique"], str]] = {}
    changes_function: ClassVar[bool] = False
    reorders_sums: ClassVar[bool] = False
    examples: ClassVar[Sequence[Mapping[str, Any]]]

    @property
    @abstractmethod
    def is_on(self) -> bool:
        """Whether its values ask for anything."""

    def stages(self, stages: list[Stage], unet: smp.Unet) -> list[Stage]:
        """Return the stages of the network that is trained.

        Args:
            stages: All stages of `unet`, in order.
            unet: The network, which may get buffers but no other parameters or functions.

        Raises:
            UsageError: The technique cannot work on this network.
        """
        return stages

    def running(self, stages: list[Stage]) -> list[Stage]:
        """Return stages that compute the same as `stages`, and are run in their place.

        Args:
            stages: All or some that follow each other, for one run.

        Raises:
            UsageError: The technique cannot work on these stages.
        """
        return stages

    def saving(
        self, stages: Sequence[Stage], inputs: Sequence[Tensor]
    ) -> AbstractContextManager[object]:
        """Return the context of a run, in which autograd saves tensors.

        Args:
            stages: What runs, as `stages` gave it.
            inputs: The tensors from which it starts.
        """
        return nullcontext()


def refuse_other_than(choices: Sequence[object], *, parameter: str, got: object) -> None:
    """Refuse a value that is not one of a few.

    Raises:
        ParameterError: It names the parameter and all choices.
    """
    if got not in choices:
        raise ParameterError(parameter, got=got, expected=f"one of {', '.join(map(str, choices))}")


def refuse_exclusions(techniques: Sequence[Technique]) -> None:
    """Refuse techniques of which one excludes another.

    Raises:
        UsageError: It names both, and the reason.
    """
    for one in techniques:
        for other in techniques:
            reason = one.excludes.get(type(other))
            if reason is not None:
                raise UsageError(
                    f"{one.parameter} does not go with {other.parameter}: {reason}; leave one of "
                    f"them out"
                )


def refuse_without_residual_layers(
    technique: Technique, stages: Sequence[Stage], unet: smp.Unet
) -> None:
    """Refuse a network whose encoder is not taken apart into residual layers.

    Raises:
        UsageError: The encoder is not a ResNet.
    """
    if not any(stage.name.startswith("layer") for stage in stages):
        raise UsageError(
            f"{technique.parameter} needs an encoder of residual layers (ResNetEncoder), got "
            f'{type(unet.encoder).__name__}; use ContrastEnhancer(encoder="resnet18"), resnet34, '
            f"resnet50, ... or leave the technique out"
        )
