"""Claim: the memory profiler costs next to nothing of a training step.

    python benchmarks/profiler.py

Two shares: of a step's time, what the training thread spends in the profiler's hooks, logging
included, by Lightning's own profiler; and of a processor, what its sampling thread takes beside a
process that sleeps (on a GPU that thread mostly waits for the driver). Takes about two minutes on
two cores.
"""

import argparse
import statistics
import time

import harness
from lightning.pytorch.profilers import SimpleProfiler

from radenhance.callbacks.gauges import ProcessGauge
from radenhance.callbacks.memory_profiler import MemoryProfiler

STEP = "run_training_batch"
HOOKS = (
    "on_train_batch_start",
    "on_before_backward",
    "on_after_backward",
    "on_train_batch_end",
)


def hook_and_step_seconds(encoder: str, size: int, steps: int) -> tuple[float, float]:
    """Return the median seconds of the hooks in a step, and of the step; the first counts not."""
    clock = SimpleProfiler()
    harness.train_on_noise(
        MemoryProfiler(), encoder=encoder, size=size, num_images=steps, profiler=clock
    )
    times = clock.recorded_durations
    hooks = [times[f"[Callback]{MemoryProfiler.__name__}.{hook}"][1:] for hook in HOOKS]
    return statistics.median(map(sum, zip(*hooks, strict=True))), statistics.median(times[STEP][1:])


def sampling_share(period_s: float, duration_s: float) -> float:
    """Return the share of a processor that a sampling thread takes."""
    gauge = ProcessGauge(period_s=period_s)
    started, worked = time.perf_counter(), time.process_time()
    time.sleep(duration_s)
    share = (time.process_time() - worked) / (time.perf_counter() - started)
    gauge.stop()
    return share


def parser() -> argparse.ArgumentParser:
    flags = harness.parser(__doc__)
    flags.add_argument("--size", type=int, default=512, help="side of the images in pixels")
    flags.add_argument("--encoder", default="resnet34", help="encoder of the network")
    flags.add_argument("--steps", type=int, default=12, help="training steps")
    return flags


def main(options: argparse.Namespace) -> None:
    harness.print_heading()
    hooks, step = hook_and_step_seconds(options.encoder, options.size, options.steps)
    sampling = sampling_share(MemoryProfiler().period_ms / 1000, duration_s=10)
    with harness.table(
        "size", "step ms", "hooks ms", "hooks / step", "sampling / processor"
    ) as row:
        shares = (f"{hooks / step:.3%}", f"{sampling:.3%}")
        row(options.size, f"{1e3 * step:.1f}", f"{1e3 * hooks:.2f}", *shares)


if __name__ == "__main__":
    main(parser().parse_args())
