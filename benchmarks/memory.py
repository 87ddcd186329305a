"""Claim: the techniques make a training step fit into less memory, at any size of image.

    python benchmarks/memory.py
    python benchmarks/memory.py --sizes 512 --real 512
    python benchmarks/memory.py --real 0 --sizes 512,1024,2048,4096,6144

Plans a step of one image with MS-SSIM and Adam under each recipe, on fake tensors. Forward and
backward are rises as the memory profiler defines them, the peak is all that is alive, host is what
waits in host memory, in MiB of tensors; a GPU takes more (the CUDA context, workspaces,
fragmentation). With `--real`, beside the planned peak of that size stands what two steps on real
tensors raise the resident memory of a process by. The first two commands take about five minutes
each on two cores.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import harness

from radenhance.planning.planned_run import PlannedRun
from radenhance.planning.search import techniques_of_recipes
from radenhance.units import MIB

CHECKPOINTING = {"model.memory.checkpointing": "unit"}
BY_STAGES = {"model.memory.checkpointing": "stage"}
BANDS = {"model.memory.band_rows": "auto"}
BEYOND_RECIPES: dict[str, dict[str, Any]] = {
    "chkp by stage": BY_STAGES,
    "chkp + quant": CHECKPOINTING | {"model.memory.quantization": "qat"},
    "compile": {"model.memory.compile": "auto"},
    "compile + amp": {"model.memory.compile": "auto", "trainer.precision": "bf16-mixed"},
    "offload 8192": {"model.memory.offload_mib": 8192},
    "band": BANDS,
    "amp + chkp by stage + band": BY_STAGES | BANDS | {"trainer.precision": "bf16-mixed"},
    "chkp + band + offload 3072": CHECKPOINTING | BANDS | {"model.memory.offload_mib": 3072},
}


def all_techniques() -> dict[str, Mapping[str, Any]]:
    """Return name -> flags, the original first."""
    recipes = {Path(name).stem: flags for name, flags in techniques_of_recipes().items()}
    return {"original": recipes.pop("original"), **recipes, **BEYOND_RECIPES}


def run_of(encoder: str, flags: Mapping[str, Any]) -> PlannedRun:
    return PlannedRun([f"--model.encoder={encoder}"]).with_flags(flags)


def real_rise(encoder: str, flags: Mapping[str, Any], size: int) -> int:
    """Return by how many bytes two steps raise the resident memory of this process."""
    run = run_of(encoder, flags)

    def train() -> None:
        step, batch = run.step(), run.batch((size, size))
        for _ in range(2):
            step(batch)

    return harness.resident_rise(train)


def parser() -> argparse.ArgumentParser:
    flags = harness.parser(__doc__)
    flags.add_argument("--sizes", type=harness.listed_numbers, default="512,1024,2048,4096",
                       help="sides of the images in pixels")  # fmt: skip
    flags.add_argument("--encoder", default="resnet34", help="encoder of the network")
    flags.add_argument("--real", type=int, default=0, help="size of the real steps; 0 for none")
    flags.add_argument("--recipes", type=harness.listed, help="rows of the table; all if none")
    return flags


def main(options: argparse.Namespace) -> None:
    techniques = all_techniques()
    names = harness.chosen(options.recipes, list(techniques))
    harness.print_heading(f"{options.encoder}, batch 1, Adam, MS-SSIM; MiB")
    columns = ("px", "forward", "backward", "peak", "peak / original", "host", "real")
    with harness.table("recipe", *columns, names=names) as row:
        for size in options.sizes:
            original = run_of(options.encoder, techniques["original"]).plan((size, size))
            for name in names:
                flags = techniques[name]
                plan = run_of(options.encoder, flags).plan((size, size))
                real = ""
                if size == options.real:
                    (rise,) = harness.in_processes(real_rise, options.encoder, flags, size)
                    real = mib(rise)
                peaks = (plan.forward_bytes, plan.backward_bytes, plan.peak_bytes)
                share = f"{plan.peak_bytes / original.peak_bytes:.3f}"
                row(name, size, *map(mib, peaks), share, mib(plan.host_bytes), real)


def mib(num_bytes: float) -> str:
    return f"{num_bytes / MIB:.0f}"


if __name__ == "__main__":
    main(parser().parse_args())
