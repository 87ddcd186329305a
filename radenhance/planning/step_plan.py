"""Will it fit? The bytes of a training step, before there is a GPU or an image.

The step is the one that `fit` runs: the module's own `training_step`, its optimizer, its precision,
in the order of Lightning's loop (training step, backward, optimizer, gradients set free). It runs
on fake tensors, which have shape and type and no content. There is no second description of the
network that could drift from it.

What a GPU takes beyond tensors is added as an allowance: `CONTEXT_BYTES` for the CUDA context, and
`WORKSPACE_SHARE` of the tensors for workspaces of cuDNN and for blocks that the allocator cannot
use.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from radenhance.compat.torch import FakeTensorMode
from radenhance.memory.footprint import Footprint
from radenhance.planning.traffic import Traffic, transfer_seconds
from radenhance.planning.training_step import Batch, TrainingStep

CONTEXT_BYTES = 450 * 2**20
"""Of a CUDA context with the kernels of PyTorch and cuDNN: 300 to 500 MiB by GPU and driver."""

WORKSPACE_SHARE = 0.05
"""Of the tensors' bytes."""

PHASES = ("forward", "backward", "optimizer")
KINDS = ("weights", "gradients", "optimizer", "input", "activations", "loss", "backward")
"""What the bytes of a step are: `backward` are those that only the backward pass makes."""


@dataclass(frozen=True)
class StepPlan:
    """What one training step needs.

    Args:
        phases: Highest use in bytes of each of PHASES, everything that is alive included.
        kinds: Bytes of each of KINDS at the moment of the highest use of all.
        level: Bytes in use before the step: weights, optimizer state, and the gradients of an
        accumulation. forward_end: Bytes in use when the forward pass is done. host_bytes: Most
        bytes of activations that wait in host memory. seconds: Of a step on the card that
        `traffic` describes, to compare with others.
    """

    phases: dict[str, int]
    kinds: dict[str, int]
    level: int
    forward_end: int
    host_bytes: int = 0
    seconds: float = 0.0

    @property
    def peak_bytes(self) -> int:
        """Highest use of tensors over all phases."""
        return max(self.phases.values())

    @property
    def workspace_bytes(self) -> int:
        """Allowance for what the GPU's libraries take while they compute."""
        return round(WORKSPACE_SHARE * self.peak_bytes)

    @property
    def needed_bytes(self) -> int:
        """Bytes that a GPU must have free before the process starts on it."""
        return self.peak_bytes + self.workspace_bytes + CONTEXT_BYTES

    @property
    def forward_bytes(self) -> int:
        """Rise in the forward phase, as the memory profiler defines it."""
        return self.phases["forward"] - self.level

    @property
    def backward_bytes(self) -> int:
        """Rise in the backward phase above the end of the forward phase, as the profiler's."""
        return max(0, self.phases["backward"] - self.forward_end)


def plan_step(make_step: Callable[[], TrainingStep], make_batch: Callable[[], Batch]) -> StepPlan:
    """Return the footprint of a training step on fake tensors.

    Args:
        make_step: Builds module and optimizer; called under fake tensors.
        make_batch: Builds one training batch; called under fake tensors.
    """
    with FakeTensorMode():
        return measure_step(make_step, make_batch)


def measure_step(
    make_step: Callable[[], TrainingStep], make_batch: Callable[[], Batch]
) -> StepPlan:
    """Return the footprint of a training step on whatever tensors are made now.

    Of a step like all but the first, in which the optimizer makes its state.
    """
    with Footprint() as footprint:
        footprint.kind = "weights"
        step = make_step()
        footprint.kind = "gradients"
        step.make_gradients()
        footprint.kind = "optimizer"
        step.optimize()
        footprint.kind = "input"
        batch = make_batch()
        measured = _Measured(footprint)
        with _labels(footprint, step.module), Traffic() as traffic:
            measured.run(step, batch)
    plan = measured.plan()
    return replace(plan, seconds=traffic.seconds + transfer_seconds(plan.host_bytes))


@dataclass
class _Measured:
    footprint: Footprint
    phases: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    level: int = 0
    forward_end: int = 0

    def run(self, step: TrainingStep, batch: Batch) -> None:
        self.level = self.footprint.live_bytes
        with self.phase("forward", "input"):
            losses = [step.forward(batch)]
        self.forward_end = self.footprint.live_bytes
        with self.phase("backward", "backward"):
            step.backward(losses.pop())
        with self.phase("optimizer", "optimizer"):
            step.optimize()

    @contextmanager
    def phase(self, name: str, kind: str) -> Iterator[None]:
        self.footprint.kind = kind
        self.footprint.reset_peak()
        yield
        peak = self.footprint.peak_bytes
        if peak > max(self.phases.values(), default=0):
            self.kinds = dict(self.footprint.kinds_at_peak)
        self.phases[name] = peak

    def plan(self) -> StepPlan:
        kinds = {kind: self.kinds.get(kind, 0) for kind in KINDS}
        host = self.footprint.host_peak_bytes
        return StepPlan(self.phases, kinds, self.level, self.forward_end, host)


@contextmanager
def _labels(footprint: Footprint, module: nn.Module) -> Iterator[None]:
    """Call what the module's `forward` makes activations, what comes after it the loss."""

    def becomes(kind: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            footprint.kind = kind

        return hook

    def label(parameter: Tensor) -> None:
        assert parameter.grad is not None
        footprint.relabel(parameter.grad, "gradients")

    hooks = [
        module.register_forward_pre_hook(becomes("activations")),
        module.register_forward_hook(becomes("loss")),
        *(
            parameter.register_post_accumulate_grad_hook(label)  # type: ignore[no-untyped-call]
            for parameter in module.parameters()
            if parameter.requires_grad
        ),
    ]
    yield
    for hook in hooks:
        hook.remove()
