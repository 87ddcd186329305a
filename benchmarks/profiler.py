"""What the memory profiler costs of a training step.

    python benchmarks/profiler.py

Two shares of the step's time: what the training thread spends in the profiler's hooks, logging
included; and what its sampling thread works on a processor (on a GPU it mostly waits for the
driver).
"""

import argparse
import statistics
import time

import torch
from lightning.pytorch import Callback, Trainer
from torch.utils.data import DataLoader

from radenhance.callbacks import gauges
from radenhance.callbacks.memory_profiler import MemoryProfiler
from radenhance.enhancer import ContrastEnhancer

HOOKS = (
    "on_train_batch_start",
    "on_before_backward",
    "on_after_backward",
    "on_train_batch_end",
)


class Timed(MemoryProfiler):
    """Adds up the time in its own hooks, step by step."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.by_step: list[float] = []
        for name in HOOKS:
            setattr(self, name, self._timed(getattr(self, name)))

    def _timed(self, hook):
        def timed(*args):
            started = time.perf_counter()
            hook(*args)
            self.seconds += time.perf_counter() - started

        return timed


class Steps(Callback):
    """Takes down how long each step took, and how much of it the profiler."""

    def __init__(self, profiler: Timed) -> None:
        self.profiler = profiler
        self.seconds: list[float] = []

    def on_train_batch_start(self, *args) -> None:  # noqa: D102
        self.started = time.perf_counter()

    def on_train_batch_end(self, *args) -> None:  # noqa: D102
        self.seconds.append(time.perf_counter() - self.started)
        self.profiler.by_step.append(self.profiler.seconds)
        self.profiler.seconds = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--steps", type=int, default=12)
    options = parser.parse_args()
    profiler = Timed()
    steps = Steps(profiler)
    image = torch.rand(1, options.size, options.size)
    pairs = [{"raw": image, "target": image, "case": str(i)} for i in range(options.steps)]
    sampling = sampling_seconds()
    trainer = Trainer(
        max_epochs=1,
        logger=False,
        callbacks=[profiler, steps],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(ContrastEnhancer(), DataLoader(pairs))
    step = statistics.median(steps.seconds[1:])
    hooks = statistics.median(profiler.by_step[1:])
    print(
        f"torch {torch.__version__}, resnet34 at {options.size} px, {trainer.strategy.root_device}"
    )
    print(f"step {1000 * step:.1f} ms, hooks {1e6 * hooks:.0f} us = {100 * hooks / step:.3f} %")
    share = sampling[0] / sum(steps.seconds)
    print(f"sampling thread {100 * share:.3f} % of a processor")


def sampling_seconds() -> list[float]:
    """Make the sampling thread report its processor time."""
    total = [0.0]
    sample = gauges.SampledGauge._sample

    def timed(gauge) -> None:
        sample(gauge)
        total[0] = time.thread_time()

    gauges.SampledGauge._sample = timed
    return total


if __name__ == "__main__":
    main()
