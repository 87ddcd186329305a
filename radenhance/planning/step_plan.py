"""Will it fit? The bytes of a training step, before there is a GPU or an image.

The step is the one that `fit` runs: the module's own `training_step`, the schedule and the sharding
of its strategy, its optimizer, its precision, in the order of Lightning's loop. It runs on fake
tensors, which have shape and type and no content. There is no second description of a step that
could drift from it.

What a GPU takes beyond tensors is added as an allowance: `CONTEXT_BYTES` for the CUDA context, and
`WORKSPACE_SHARE` of the tensors for workspaces of cuDNN and for blocks that the allocator cannot
use.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from radenhance.compat.torch import DataDependentOutputException
from radenhance.memory.footprint import Footprint
from radenhance.planning.fake_module import NumbersAreOne
from radenhance.planning.traffic import MIDDLE_CARD, Traffic, Work
from radenhance.planning.training_step import Batch, TrainingStep
from radenhance.repetition import shortened
from radenhance.strategies.protocol import Phase

CONTEXT_BYTES = 450 * 2**20
"""Allowance for a CUDA context with the kernels of PyTorch and cuDNN: 300 to 500 MiB by GPU and
driver."""

WORKSPACE_SHARE = 0.05
"""Allowance for workspaces, as a share of the tensors' bytes."""

PHASES = ("forward", "backward", "optimizer")
KINDS = ("weights", "gradients", "optimizer", "input", "activations", "loss", "backward")
"""What the bytes of a step are: `backward` are those that only the backward pass makes."""


LATENCY_S = 50e-6
"""Time that a message between two machines takes beside its bytes, on Ethernet."""


@dataclass(frozen=True)
class Wire:
    """What a process of an image divided by rows sends in a step.

    Args:
        num_processes: Processes of the run.
        rows_bytes: Rows that it sends to its neighbours.
        sums_bytes: Statistics and gradients, which are summed over all.
        num_messages: Messages that it waits for, one after the other.
    """

    num_processes: int
    rows_bytes: int
    sums_bytes: int
    num_messages: int

    @property
    def sent_bytes(self) -> int:
        """Bytes that it sends, sums in a ring of processes."""
        return (
            self.rows_bytes + 2 * self.sums_bytes * (self.num_processes - 1) // self.num_processes
        )

    def seconds(self, gbit: float) -> float:
        """Return the time on a network of a bandwidth in Gbit/s, if nothing else is done."""
        return self.sent_bytes * 8 / (gbit * 1e9) + self.num_messages * LATENCY_S


@dataclass(frozen=True)
class StepPlan:
    """What one training step needs on one device.

    Args:
        phases: Highest use in bytes of each of PHASES, everything that is alive included.
        kinds: Bytes of each of KINDS at the moment of the highest use of all.
        level: Bytes in use before the step: weights, optimizer state, images, and the gradients of
            an accumulation.
        forward_end: Bytes in use when the first forward phase is done.
        forward_bytes: Rise in the forward phase, as the memory profiler defines it.
        backward_bytes: Rise in the backward phase above the end of the forward phase before it.
        host_bytes: Most bytes of activations that wait in host memory.
        work: What the step does, as far as it takes time.
        seconds: Time of a step on the device that the run is planned for, to compare with others.
        wire: What the process sends, where an image is divided by rows.
    """

    phases: dict[str, int]
    kinds: dict[str, int]
    level: int
    forward_end: int
    forward_bytes: int
    backward_bytes: int
    host_bytes: int = 0
    work: Work = Work()
    seconds: float = 0.0
    wire: Wire | None = None

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


def measure_step(step: TrainingStep, make_batch: Callable[[], Batch]) -> StepPlan:
    """Return the footprint of a training step on fake tensors.

    It is a step like all but the first, in which the optimizer makes its state.

    Args:
        step: The step; nothing of it has run.
        make_batch: Function that makes one training batch.
    """
    gc.collect()  # cycles that making the module has left
    with Footprint() as footprint:
        footprint.kind = "weights"
        footprint.count(step.weights())
        kept = step.averages()
        footprint.kind = "gradients"
        kept += step.buckets()
        step.make_gradients()
        footprint.kind = "optimizer"
        optimize = _optimized(step)
        footprint.kind = "input"
        batch = step.converted(make_batch())
        measured = _Measured(footprint, optimize)
        with _labels(footprint, step), shortened() as loops, Traffic(loops) as traffic:
            measured.run(step, batch)
        del kept
    plan = measured.plan()
    work = traffic.work(plan.host_bytes)
    return replace(plan, work=work, seconds=MIDDLE_CARD.seconds(work))


def _optimized(step: TrainingStep) -> Callable[[], None]:
    """Run the optimizer, and return what runs it again."""
    try:
        step.optimize()
    except DataDependentOutputException:
        pass  # an optimizer that reads numbers
    else:
        return step.optimize

    def optimize() -> None:
        with NumbersAreOne():
            step.optimize()

    gc.collect()  # what the first attempt has left
    optimize()
    return optimize


@dataclass
class _Measured:
    footprint: Footprint
    optimize: Callable[[], None]
    phases: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PHASES, 0))
    rises: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PHASES, 0))
    kinds: dict[str, int] = field(default_factory=dict)
    level: int = 0
    forward_end: int | None = None
    base: int = 0

    def run(self, step: TrainingStep, batch: Batch) -> None:
        self.level = self.footprint.live_bytes
        self.begin("forward")
        step.pass_forth_and_back(batch, self.phase_ended)
        self.end("backward")
        self.begin("optimizer")
        self.optimize()
        self.end("optimizer")

    def phase_ended(self, phase: Phase) -> None:
        self.end(phase)
        if self.forward_end is None:
            self.forward_end = self.footprint.live_bytes
        self.begin("backward" if phase == "forward" else "forward")

    def begin(self, phase: str) -> None:
        self.footprint.kind = "input" if phase == "forward" else phase
        self.footprint.reset_peak()
        self.base = self.level if phase == "forward" else self.footprint.live_bytes

    def end(self, phase: str) -> None:
        peak = self.footprint.peak_bytes
        if peak > max(self.phases.values()):
            self.kinds = dict(self.footprint.kinds_at_peak)
        self.phases[phase] = max(self.phases[phase], peak)
        self.rises[phase] = max(self.rises[phase], peak - self.base)

    def plan(self) -> StepPlan:
        assert self.forward_end is not None
        return StepPlan(
            phases=self.phases,
            kinds={kind: self.kinds.get(kind, 0) for kind in KINDS},
            level=self.level,
            forward_end=self.forward_end,
            forward_bytes=self.rises["forward"],
            backward_bytes=self.rises["backward"],
            host_bytes=self.footprint.host_peak_bytes,
        )


@contextmanager
def _labels(footprint: Footprint, step: TrainingStep) -> Iterator[None]:
    """Call what the module's `forward` makes activations, what comes after it the loss."""

    def becomes(kind: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            footprint.kind = kind

        return hook

    def label(parameter: Tensor) -> None:
        assert parameter.grad is not None
        footprint.relabel(parameter.grad, "gradients")

    hooks = [
        step.module.register_forward_pre_hook(becomes("activations")),
        step.module.register_forward_hook(becomes("loss")),
        *(
            tensor.register_post_accumulate_grad_hook(label)  # type: ignore[no-untyped-call]
            for tensor in step.weights()
            if tensor.requires_grad
        ),
    ]
    yield
    for hook in hooks:
        hook.remove()
