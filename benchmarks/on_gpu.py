"""Planned against real memory of training steps on a CUDA device, and their time; one table.

    python benchmarks/on_gpu.py [--sizes 512,1024,2048,4096] [--encoder resnet34] [--minutes 9] \
      [--pipeline OUT]

For each recipe and size: the plan; the allocator's peaks of allocated and of reserved memory; what
NVML says the device uses more than before the first CUDA call; the median time of a step, in true
float32 and with TensorFloat-32 (recipes in half precision have the first only). Sizes that do not
fit are marked so. Rows that the time does not reach are left out, the smallest sizes come first.
With `--pipeline` it measures encoder and decoder instead, in two processes that share the device if
there is only one (Table V): an epoch of `radenhance reproduce`, whose runs stay in OUT.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pynvml
import torch

from radenhance.cli import main as command_line
from radenhance.planning.planned_run import PlannedRun
from radenhance.planning.search import techniques_of_recipes
from radenhance.reproduce.paper import RECIPES

MIB = 2**20
NUM_TIMED = 3


def used_on_device(handle: Any) -> int:
    return int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)


def row(run: PlannedRun, size: int, handle: Any, idle: int) -> list[str]:
    """Return planned, allocated, their ratio, needed, reserved, NVML's rise, and seconds."""
    plan = run.plan((size, size))
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    try:
        seconds = timed(run, size)
    except torch.OutOfMemoryError:
        return [f"{plan.peak_bytes / MIB:.0f}", "does not fit", *[""] * 5]
    allocated = torch.cuda.max_memory_allocated()
    reserved = torch.cuda.max_memory_reserved()
    return [
        f"{plan.peak_bytes / MIB:.0f}",
        f"{allocated / MIB:.0f}",
        f"{plan.peak_bytes / allocated:.3f}",
        f"{plan.needed_bytes / MIB:.0f}",
        f"{reserved / MIB:.0f}",
        f"{(used_on_device(handle) - idle) / MIB:.0f}",
        f"{seconds:.3f}",
    ]


def timed(run: PlannedRun, size: int) -> float:
    """Return the median time of a step after two that warm up."""
    step = run.step("cuda")
    step.module.setup("fit")  # chooses the precision of float32
    batch = {
        key: value.cuda() if isinstance(value, torch.Tensor) else value
        for key, value in run.batch((size, size)).items()
    }
    times = []
    for _ in range(2 + NUM_TIMED):
        torch.cuda.synchronize()
        started = time.perf_counter()
        step(batch)
        torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return statistics.median(times[2:])


def variants(flags: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return float32 and TensorFloat-32 of a recipe, or its half precision."""
    if flags["trainer.precision"] != "32-true":
        return {flags["trainer.precision"]: flags}
    return {"float32": flags, "TF32": {**flags, "model.memory.tf32": True}}


def print_pipeline(out: Path, sizes: str, encoder: str) -> None:
    """Print Table V as `radenhance reproduce` makes it."""
    pipelines = [name for name in RECIPES if name.startswith("dist")]
    flags = [f"--sizes={sizes}", "--epochs=1", "--seeds=0", f"--encoder={encoder}"]
    code = command_line(
        ["reproduce", str(out), *flags, f"--recipes=original,{','.join(pipelines)}"]
    )
    for section in (out / "report.md").read_text(encoding="utf-8").split("\n## "):
        if section.startswith("Table V."):
            print(f"\n{section}")
    sys.exit(code)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="512,1024,2048,4096")
    parser.add_argument("--encoder", default="resnet34")
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--pipeline", type=Path, metavar="OUT")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("no CUDA device here; benchmarks/memory.py plans without one")
    if options.pipeline:
        print_pipeline(options.pipeline, options.sizes, options.encoder)
    pynvml.nvmlInit()
    uuid = f"GPU-{torch.cuda.get_device_properties(0).uuid}"
    handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
    idle = used_on_device(handle)
    deadline = time.monotonic() + 60 * options.minutes
    print(
        f"{torch.cuda.get_device_name()}, torch {torch.__version__}, CUDA {torch.version.cuda}, "
        f"cuDNN {torch.backends.cudnn.version()}, driver {pynvml.nvmlSystemGetDriverVersion()}, "
        f"{options.encoder}, batch 1, Adam, MS-SSIM; MiB\n"
    )
    print(
        "| size | recipe | precision | planned | allocated | planned / allocated | needed "
        "| reserved | NVML | s per step |\n|---:|---|---|---:|---:|---:|---:|---:|---:|---:|"
    )
    run = PlannedRun([f"--model.encoder={options.encoder}"])
    for size in map(int, options.sizes.split(",")):
        for name, flags in techniques_of_recipes().items():
            for precision, changed in variants(flags).items():
                if time.monotonic() > deadline:
                    print("\nThe time was up here.")
                    return
                cells = row(run.with_flags(changed), size, handle, idle)
                print(f"| {size} | {name} | {precision} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
