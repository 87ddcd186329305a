"""Claim: what `radenhance plan` says is what a CUDA device needs. Needs one, and about ten minutes.

    python benchmarks/on_gpu.py

For each recipe and size: the plan; the allocator's peaks of allocated and of reserved memory; what
NVML says the device uses more than before the first CUDA call; the median time of a step, in true
float32 and with TensorFloat-32 (recipes in half precision have the first only). Sizes that do not
fit are marked so. The smallest sizes come first, and rows that the time does not reach are left
out. Encoder and decoder on a device: `radenhance reproduce OUT --epochs 1 --seeds 0 --recipes
original,dist,dist_amp,dist_amp_chkp,dist_amp_mom,dist_amp_chkp_mom`, its Table V.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import harness
import pynvml
import torch

from radenhance.planning.planned_run import PlannedRun
from radenhance.planning.search import techniques_of_recipes
from radenhance.units import MIB

NUM_TIMED = 3
COLUMNS = ("px", "precision", "planned", "allocated   ", "planned / allocated", "needed")
COLUMNS += ("reserved", "NVML", "s per step")


def device_usage() -> Callable[[], int]:
    """Return what tells the bytes in use on the first device, by the driver."""
    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(0).uuid}")
    return lambda: int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)


def measure(run: PlannedRun, size: int, more_used: Callable[[], int]) -> list[str]:
    """Return planned, allocated, their ratio, needed, reserved, NVML's rise, and seconds."""
    plan = run.plan((size, size))
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    try:
        taken = step_seconds(run, size)
    except torch.OutOfMemoryError:
        return [mib(plan.peak_bytes), "does not fit", *[""] * 5]
    allocated, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    ratio = f"{plan.peak_bytes / allocated:.3f}"
    figures = map(mib, (plan.needed_bytes, reserved, more_used()))
    return [mib(plan.peak_bytes), mib(allocated), ratio, *figures, f"{taken:.3f}"]


def mib(num_bytes: float) -> str:
    return f"{num_bytes / MIB:.0f}"


def step_seconds(run: PlannedRun, size: int) -> float:
    """Return the median time of a step after two that warm up."""
    step = run.step("cuda")
    step.module.setup("fit")  # chooses the precision of float32
    batch = {
        key: value.cuda() if isinstance(value, torch.Tensor) else value
        for key, value in run.batch((size, size)).items()
    }

    def synchronized() -> None:
        step(batch)
        torch.cuda.synchronize()

    times = [harness.seconds(synchronized) for _ in range(2 + NUM_TIMED)]
    return statistics.median(times[2:])


def rows(sizes: list[int]) -> Iterator[tuple[int, str, str, Mapping[str, Any]]]:
    """Yield size, recipe, precision and flags: float32 and TensorFloat-32, or half precision."""
    for size in sizes:
        for name, flags in techniques_of_recipes().items():
            precision = flags["trainer.precision"]
            yield size, name, precision.replace("32-true", "float32"), flags
            if precision == "32-true":
                yield size, name, "TF32", {**flags, "model.memory.tf32": True}


def parser() -> argparse.ArgumentParser:
    flags = harness.parser(__doc__)
    flags.add_argument("--sizes", type=harness.listed_numbers, default="512,1024,2048,4096",
                       help="sides of the images in pixels")  # fmt: skip
    flags.add_argument("--encoder", default="resnet34", help="encoder of the network")
    flags.add_argument("--minutes", type=float, default=9.0, help="time after which no row begins")
    return flags


def main(options: argparse.Namespace) -> None:
    if not torch.cuda.is_available():
        sys.exit("there is no CUDA device here; benchmarks/memory.py plans without one")
    used = device_usage()
    idle, deadline = used(), time.monotonic() + 60 * options.minutes
    harness.print_heading(
        f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}, driver "
        f"{pynvml.nvmlSystemGetDriverVersion()}; {options.encoder}, batch 1, Adam, MS-SSIM; MiB"
    )
    run = PlannedRun([f"--model.encoder={options.encoder}"])
    with harness.table("recipe", *COLUMNS, names=techniques_of_recipes()) as row:
        for size, name, precision, flags in rows(options.sizes):
            if time.monotonic() > deadline:
                break
            cells = measure(run.with_flags(flags), size, lambda: used() - idle)
            row(name, size, precision, *cells)


if __name__ == "__main__":
    main(parser().parse_args())
