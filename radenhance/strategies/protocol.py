"""What callbacks, the module, the planner and the dashboard may ask of a strategy.

Under most of Lightning's strategies each process sees a whole training step: a callback knows where
a phase ends by Lightning's hooks, and the module computes the norm of its gradients by itself.
Where a process has one stage of the network, or a shard of the parameters, only the strategy knows.
Such strategies are `PartitionedStrategy`s, and whoever needs to know asks
`isinstance(trainer.strategy, PartitionedStrategy)`: nothing is found by the name of an attribute.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor

from radenhance.memory.techniques import MemoryTechniques

Phase = Literal["forward", "backward"]


def ignore_phase(phase: Phase) -> None:
    """Do nothing at the end of a phase."""


class PartitionedStrategy(ABC):
    """A strategy under which a process has a part of the network, or of its gradients."""

    phase_ended: Callable[[Phase], None] = staticmethod(ignore_phase)
    """Called where a forward phase ends and a backward phase begins, and the other way round.

    A strategy whose steps are forward and backward passes in one, for which Lightning has no hook,
    calls it; the others never do.
    """

    @property
    def stage_name(self) -> str | None:
        """The stage of the network that this process runs, None where it runs all of them."""
        return None

    @abstractmethod
    def gradient_norm(self) -> Tensor:
        """Return the 2-norm of the whole network's gradient; every process must call it."""


@runtime_checkable
class SupportsMemoryTechniques(Protocol):
    """A LightningModule that runs its U-Net under memory techniques, in its method `network`."""

    memory: MemoryTechniques

    def network(self, image: Tensor) -> Tensor:
        """Return `memory.run(unet, image)`; a strategy puts its own function in this place.

        Args:
            image: Shape (N, 1, H, W), both sides multiples of 32.
        """
