"""The memory that a training step takes, by phase.

The hooks that lie at the borders, with automatic optimization (where the closure of
optimizer.step() holds forward and backward) as with manual:

    on_train_batch_start | forward | on_before_backward | backward | on_after_backward | optimizer
    | on_train_batch_end

A strategy whose steps are forward and backward passes in one calls its `phase_ended` besides.

Allocators keep what was freed. Seen from outside (reserved bytes, NVML, the process) a second step
takes nothing new, so that its phases show only after the cache was given back. That costs time, and
is done for one step of each epoch; allocated bytes show every step.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from typing_extensions import override

from radenhance import metric_names
from radenhance.callbacks.gauges import (
    AllocatorGauge,
    Levels,
    ProcessGauge,
    Readings,
    SampledGauge,
    release_cache,
)
from radenhance.callbacks.nvml import open_nvml
from radenhance.callbacks.step_phases import Figures, StepPhases, raise_to
from radenhance.errors import ParameterError
from radenhance.log_points import gathered, is_log_point, log_metrics, stage_of
from radenhance.strategies.protocol import PartitionedStrategy
from radenhance.units import MIB

Planned = dict[str | None, dict[str, int]]
"""Stage, None where there is one -> phase -> bytes."""


class MemoryProfiler(Callback):
    """Logs the memory of forward phase, backward phase and optimizer phase, and the peak, in MiB.

    On a GPU it logs what PyTorch's allocator says (allocated, reserved) and what the driver says
    (nvml_device, nvml_process); without one, what the step is planned to take on one (planned), or
    the resident memory of the process (process_rss). Each figure's name ends with its source. A
    figure is the highest since the one logged before it.

    Args:
        period_ms: Milliseconds from one sample of NVML or of the process to the next.
        release_cache: Whether to give the allocator's cache back before the first step of each
            epoch. If not, allocated has phases and peaks, and the others have peaks only.
        plan: Whether a fit without a GPU logs planned in place of process_rss, which libraries and
            loading fill.
    """

    def __init__(
        self, period_ms: float = 10.0, release_cache: bool = True, plan: bool = True
    ) -> None:
        if not (period_ms > 0 and math.isfinite(period_ms)):
            raise ParameterError("MemoryProfiler.period_ms", got=period_ms, expected="more than 0")
        self.period_ms = period_ms
        self.release_cache = release_cache
        self.plan = plan
        self.planned: Planned = {}
        """What a step was planned to take, on rank 0; who can plan sets it before the run."""
        self.planner: Callable[[], Planned] | None = None
        """What plans it once the run has a folder: planning takes seconds."""
        self.run_peaks: dict[str, float] = {}
        """Source -> MiB, the highest of the run and of all ranks."""
        self._allocator: AllocatorGauge | None = None
        self._outside: SampledGauge | None = None
        self._device = torch.device("cpu")
        self._release_due = self._released = self._went_backward = False
        self._step: StepPhases | None = None
        self._begun_at = 0
        self._figures: Figures = {}

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self.planner is not None:
            self.planned = self.planner()

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop()
        self._device = trainer.strategy.root_device
        self._release_due = self.release_cache
        if isinstance(trainer.strategy, PartitionedStrategy):
            trainer.strategy.phase_ended = self._count
        period_s = self.period_ms / 1000
        if self._device.type != "cuda" and self._takes_plan(trainer):
            return
        if self._device.type != "cuda":
            self._outside = ProcessGauge(period_s=period_s)
            return
        self._allocator = AllocatorGauge(self._device)
        nvml = open_nvml(self._device)
        self._outside = None if nvml is None else SampledGauge(nvml, period_s=period_s)

    @override
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._release_due = self.release_cache
        self._step = None

    @override
    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._went_backward = False
        if self._step is None:
            self._begun_at = trainer.global_step
            self._released, self._release_due = self._release_due, False
            if self._released:
                release_cache(self._device)
        # leaves out what came since the batch before, such as a validation
        readings, _ = self._read(), self._read_peaks()
        if self._step is None:
            peaks_only = () if self._released else (metric_names.RESERVED,)
            self._step = StepPhases(readings, peaks_only=peaks_only)

    @override
    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        self._count(metric_names.FORWARD)

    @override
    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._count(metric_names.BACKWARD)
        self._went_backward = True

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._count(metric_names.OPTIMIZER if self._went_backward else metric_names.FORWARD)
        if self._step is None or trainer.global_step == self._begun_at:
            return  # gradients accumulate: the step goes on with the next batch
        for key, value in self._step.figures.items():
            raise_to(self._figures, key, value)
        self._step = None
        if is_log_point(trainer):
            self._log(trainer)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._log(trainer)
        planned = {
            metric_names.memory(phase, metric_names.PLANNED, stage): num_bytes / MIB
            for stage, phases in self.planned.items()
            for phase, num_bytes in phases.items()
        }
        if planned:
            log_metrics(trainer, planned)

    @override
    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._stop()

    @override
    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._stop()

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"run_peaks": dict(self.run_peaks)}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.run_peaks = dict(state_dict["run_peaks"])

    def _read(self) -> Readings:
        """Return levels and peaks; from outside, which is slow, only where levels count."""
        readings = {} if self._allocator is None else self._allocator.read()
        if self._released and self._outside is not None:
            readings |= self._outside.read()
        return readings

    def _read_peaks(self) -> Levels:
        return {} if self._outside is None else self._outside.highest_sampled()

    def _count(self, phase: str) -> None:
        if self._step is not None:
            self._step.add(phase, self._read())
            self._step.add_peak(self._read_peaks())

    def _log(self, trainer: Trainer) -> None:
        metrics = {}
        for stage, figures in gathered((stage_of(trainer), self._figures)):
            for (phase, source), num_bytes in figures.items():
                mib = num_bytes / MIB
                metrics[metric_names.memory(phase, source, stage)] = mib
                if phase == metric_names.PEAK:
                    self.run_peaks[source] = max(mib, self.run_peaks.get(source, 0))
        for source, mib in self.run_peaks.items():
            metrics[metric_names.memory(metric_names.RUN_PEAK, source)] = mib
        log_metrics(trainer, metrics)
        self._figures = {}

    def _takes_plan(self, trainer: Trainer) -> bool:
        """Return whether there is a plan, whose peak is that of the run then; all ranks ask."""
        self.planned = trainer.strategy.broadcast(self.planned)
        peaks = [phases[metric_names.PEAK] / MIB for phases in self.planned.values()]
        if peaks:
            self.run_peaks = {metric_names.PLANNED: max(peaks)}
        return bool(peaks)

    def _stop(self) -> None:
        if self._outside is not None:
            self._outside.stop()
        self._allocator = self._outside = self._step = None
        self._figures = {}
