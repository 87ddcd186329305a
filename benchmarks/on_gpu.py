"""Claim: what `radenhance plan` says is what a CUDA device needs. Needs one, and about ten minutes.

    python benchmarks/on_gpu.py
    python benchmarks/on_gpu.py --sizes 2048 --with trainer.precision=bf16-mixed

For each recipe and size: the plan; the allocator's peaks of allocated and of reserved memory, with
the workspaces that cuDNN takes where there is room; what NVML says the device uses more than before
the first CUDA call; the median time of a step, in true float32 and with TensorFloat-32 (recipes in
half precision have the first only), alone and with the allocator limited to what the plan says is
needed; the bytes that operators move and how many there are, as counted without a device. The
smallest sizes come first, and rows that the time does not reach are left out. Other processes plan
meanwhile, and what is compiled is compiled by the first that runs it.
"""

import argparse
import gc
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import harness
import pynvml
import torch
import yaml

from radenhance.planning.planned_run import PlannedRun
from radenhance.planning.search import techniques_of_recipes
from radenhance.planning.step_plan import CONTEXT_BYTES, StepPlan
from radenhance.units import MIB

NUM_TIMED = 3
COLUMNS = ("px", "precision", "planned", "allocated   ", "planned / allocated", "needed")
COLUMNS += ("reserved", "NVML", "s per step", "s in what is needed", "GB moved", "operators")


def device_usage() -> Callable[[], int]:
    """Return what tells the bytes in use on the first device, by the driver."""
    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(0).uuid}")
    return lambda: int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)


def plan_of(encoder: str, flags: Mapping[str, Any], size: int) -> StepPlan:
    """Return the plan of a step; for other processes."""
    return PlannedRun([f"--model.encoder={encoder}"]).with_flags(flags).plan((size, size))


def measure(
    run: PlannedRun, size: int, planned: Future[StepPlan], more_used: Callable[[], int]
) -> list[str]:
    """Return a row's figures, from planned to operators."""
    taken = seconds_or_none(run, size)
    allocated, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    used, plan = more_used(), planned.result()
    limit = (plan.needed_bytes - CONTEXT_BYTES) / torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, limit))
    within = seconds_or_none(run, size)
    torch.cuda.set_per_process_memory_fraction(1.0)
    ratio = f"{plan.peak_bytes / allocated:.3f}"
    return [
        mib(plan.peak_bytes),
        *(["does not fit", ""] if taken is None else [mib(allocated), ratio]),
        mib(plan.needed_bytes),
        *(["", ""] if taken is None else [mib(reserved), mib(used)]),
        *("no" if seconds is None else f"{seconds:.3f}" for seconds in (taken, within)),
        f"{plan.work.moved_bytes / 1e9:.1f}",
        f"{plan.work.operators:.0f}",
    ]


def seconds_or_none(run: PlannedRun, size: int) -> float | None:
    """Return the seconds of a step, None where it does not fit."""
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    try:
        return step_seconds(run, size)
    except torch.OutOfMemoryError:
        return None


def mib(num_bytes: float) -> str:
    return f"{num_bytes / MIB:.0f}"


def step_seconds(run: PlannedRun, size: int) -> float:
    """Return the median time of a step after two that warm up."""
    step = run.step("cuda")
    batch = {
        key: value.cuda() if isinstance(value, torch.Tensor) else value
        for key, value in run.batch((size, size)).items()
    }

    def synchronized() -> None:
        step(batch)
        torch.cuda.synchronize()

    times = [harness.seconds(synchronized) for _ in range(2 + NUM_TIMED)]
    return statistics.median(times[2:])


def rows(
    sizes: list[int], recipes: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[int, str, str, Mapping[str, Any]]]:
    """Yield size, recipe, precision and flags: float32 and TensorFloat-32, or half precision."""
    for size in sizes:
        for name, flags in recipes.items():
            precision = flags["trainer.precision"]
            yield size, name, precision.replace("32-true", "float32"), flags
            if precision == "32-true" and not flags.get("model.memory.tf32"):
                yield size, name, "TF32", {**flags, "model.memory.tf32": True}


def _named(text: str) -> tuple[str, Any]:
    name, separator, value = text.removeprefix("--").partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, yaml.safe_load(value)


def parser() -> argparse.ArgumentParser:
    flags = harness.parser(__doc__)
    flags.add_argument("--sizes", type=harness.listed_numbers, default="512,1024,2048,4096",
                       help="sides of the images in pixels")  # fmt: skip
    flags.add_argument("--encoder", default="resnet34", help="encoder of the network")
    flags.add_argument("--recipes", type=harness.listed, help="recipes without .yaml; all if none")
    flags.add_argument(
        "--with",
        dest="changes",
        type=_named,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="flag of fit for all rows; may be repeated",
    )
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
    known = {name.removesuffix(".yaml"): flags for name, flags in techniques_of_recipes().items()}
    known["compile"] = known["original"] | {"model.memory.compile": "auto"}
    names = harness.chosen(options.recipes, list(known))
    recipes = {name: {**known[name], **dict(options.changes)} for name in names}
    listed = list(rows(options.sizes, recipes))
    workers = max(1, (os.cpu_count() or 2) // 2)
    with (
        ProcessPoolExecutor(workers, get_context("spawn"), os.nice, (10,)) as pool,
        harness.table("recipe", *COLUMNS, names=recipes) as row,
    ):
        plans = [pool.submit(plan_of, options.encoder, flags, size) for size, *_, flags in listed]
        for (size, name, precision, flags), plan in zip(listed, plans, strict=True):
            if time.monotonic() > deadline:
                pool.shutdown(cancel_futures=True)
                break
            cells = measure(run.with_flags(flags), size, plan, lambda: used() - idle)
            row(name, size, precision, *cells)


if __name__ == "__main__":
    main(parser().parse_args())
