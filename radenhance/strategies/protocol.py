"""What callbacks, the module, the planner and the dashboard may ask of a strategy.

Under most of Lightning's strategies each process sees a whole training step: a callback knows where
a phase ends by Lightning's hooks, the module computes the norm of its gradients by itself, and the
planner runs the module's own training step. Where a process has one stage of the network, or a
shard of the parameters, only the strategy knows. Such strategies are `PartitionedStrategy`s, and
whoever needs to know asks `isinstance(trainer.strategy, PartitionedStrategy)`: nothing is found by
the name of an attribute.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from lightning.pytorch import LightningModule
from lightning.pytorch.plugins import Precision
from torch import Tensor

from radenhance.compat.torch import FakeTensorMode
from radenhance.memory.techniques import MemoryTechniques

Phase = Literal["forward", "backward"]

PhaseEnded = Callable[[Phase], None]
"""Called where a forward phase ends and a backward phase begins, and the other way round; the last
backward phase of a step ends with it."""


def ignore_phase(phase: Phase) -> None:
    """Do nothing at the end of a phase."""


@dataclass(frozen=True)
class RehearsedRun:
    """What a fit gives its strategy, on fake tensors, which have shape and type and no values.

    Args:
        module: LightningModule of fake tensors, in the types of the run's precision.
        batch: One batch of fake tensors.
        mode: Mode of the fake tensors, not entered.
        precision: Precision plugin.
        num_processes: Processes of the run.
        num_accumulated: Batches whose gradients are averaged in one optimizer step.
    """

    module: LightningModule
    batch: Any
    mode: FakeTensorMode
    precision: Precision
    num_processes: int = 1
    num_accumulated: int = 1


class Passes(Protocol):
    """Forward and backward passes of a batch, as one process runs them."""

    def run(self, batch: Any, phase_ended: PhaseEnded) -> None:
        """Leave the gradients of a batch in the parameters."""

    def tensors(self) -> list[Tensor]:
        """Return the module's parameters and buffers that are on this process's device."""


class PartitionedStrategy(ABC):
    """A strategy under which a process has a part of the network, or of its gradients."""

    phase_ended: PhaseEnded = staticmethod(ignore_phase)
    """Set by who wants to know. Only a strategy whose steps are forward and backward passes in one,
    for which Lightning has no hook, calls it."""

    stages: tuple[str | None, ...] = (None,)
    """The stages that processes differ in; None for one that runs the whole network."""

    @property
    def stage_name(self) -> str | None:
        """The stage of the network that this process runs, None where it runs all of them."""
        return None

    @property
    def writes_results(self) -> bool:
        """Whether this process writes what steps return; False where another one has the same."""
        return True

    def holds(self, tensor: Tensor) -> bool:
        """Return whether this process trains a parameter or buffer of the module."""
        return True

    @abstractmethod
    def gradient_norm(self) -> Tensor:
        """Return the 2-norm of the whole network's gradient; every process must call it."""

    @abstractmethod
    def rehearse(self, run: RehearsedRun, stage: str | None) -> AbstractContextManager[Passes]:
        """Return what a process does in a training step, to be run without the other processes.

        Args:
            run: What a fit would give this strategy.
            stage: One of `stages`.
        """


@runtime_checkable
class SupportsMemoryTechniques(Protocol):
    """A LightningModule that runs its U-Net under memory techniques, in its method `network`."""

    memory: MemoryTechniques

    def network(self, image: Tensor) -> Tensor:
        """Return `memory.run(unet, image)`; a strategy puts its own function in this place.

        Args:
            image: Shape (N, 1, H, W), both sides multiples of 32.
        """
