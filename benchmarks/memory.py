"""Memory of a training step under each recipe: planned on fake tensors, and real at one size.

    python benchmarks/memory.py [--sizes 512,1024,2048,4096] [--encoder resnet34] [--real 512] \
      [--recipes original,full_resolution]

One image, MS-SSIM loss, Adam. Forward and backward are rises as the memory profiler defines them,
the peak is all that is alive, in MiB of tensors; a GPU takes more (the CUDA context, workspaces,
fragmentation). Real is the rise of the process's resident memory over two steps on real tensors,
each recipe in a process of its own, beside the planned peak of that size. Host is what waits in
host memory.
"""

import argparse
import multiprocessing
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from radenhance.planning.planned_run import PlannedRun
from radenhance.planning.search import techniques_of_recipes

MIB = 2**20
MEMORY = "model.memory"
BEYOND_RECIPES: dict[str, dict[str, Any]] = {
    "chkp by stage": {f"{MEMORY}.checkpointing": "stage"},
    "chkp + quant": {f"{MEMORY}.checkpointing": "unit", f"{MEMORY}.quantization": "qat"},
    "offload 8192": {f"{MEMORY}.offload_mib": 8192},
    "band": {f"{MEMORY}.band_rows": "auto"},
    "amp + chkp + band": {
        f"{MEMORY}.checkpointing": "unit",
        f"{MEMORY}.band_rows": "auto",
        "trainer.precision": "bf16-mixed",
    },
    "chkp + band + offload 3072": {
        f"{MEMORY}.checkpointing": "unit",
        f"{MEMORY}.band_rows": "auto",
        f"{MEMORY}.offload_mib": 3072,
    },
}


def rows() -> dict[str, Mapping[str, Any]]:
    """Return name -> flags, the original first."""
    recipes = {Path(name).stem: flags for name, flags in techniques_of_recipes().items()}
    return {"original": recipes.pop("original"), **recipes, **BEYOND_RECIPES}


def planned(encoder: str, flags: Mapping[str, Any]) -> PlannedRun:
    return PlannedRun([f"--model.encoder={encoder}"]).with_flags(flags)


def real_rise(encoder: str, flags: Mapping[str, Any], size: int) -> int:
    """Return by how many bytes two steps raise the resident memory of a new process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_real_rise, (encoder, flags, size))


def _real_rise(encoder: str, flags: Mapping[str, Any], size: int) -> int:
    run = planned(encoder, flags)
    before = _resident_peak()
    step, batch = run.step(), run.batch((size, size))
    for _ in range(2):
        step(batch)
    return _resident_peak() - before


def _resident_peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="512,1024,2048,4096")
    parser.add_argument("--encoder", default="resnet34")
    parser.add_argument("--real", type=int, default=512, help="size of the real steps; 0 for none")
    parser.add_argument("--recipes", help="only these rows, separated by commas")
    options = parser.parse_args()
    wanted = options.recipes.split(",") if options.recipes else rows()
    print(f"torch {torch.__version__}, {options.encoder}, batch 1, Adam, MS-SSIM; MiB\n")
    print("| size | recipe | forward | backward | peak | peak / original | host | real |")
    print("|---:|---|---:|---:|---:|---:|---:|---:|")
    for size in map(int, options.sizes.split(",")):
        original = None
        for name in wanted:
            flags = rows()[name]
            plan = planned(options.encoder, flags).plan((size, size))
            original = original or plan.peak_bytes
            is_real = size == options.real
            real = f"{real_rise(options.encoder, flags, size) / MIB:.0f}" if is_real else ""
            figures = (plan.forward_bytes, plan.backward_bytes, plan.peak_bytes)
            cells = " | ".join(f"{figure / MIB:.0f}" for figure in figures)
            print(
                f"| {size} | {name} | {cells} | {plan.peak_bytes / original:.3f} "
                f"| {plan.host_bytes / MIB:.0f} | {real} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
