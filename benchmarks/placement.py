"""Claim: which placement suits an image and a network between devices, by the planner.

    python benchmarks/placement.py
    python benchmarks/placement.py --sizes 1024,2048,4096,8192 --encoder resnet34

Plans a step of one image in float32 with MS-SSIM and Adam, in bands and with checkpointing (the
techniques of full_resolution.yaml), on one card, as encoder and decoder on two (with stem_on_both
as well), and by rows on two and four. Memory is what each card needs. A step's time is its
computing on a card of the middle range (planning/traffic.py) and, one after the other, what it
sends: at 1, 10 and 100 Gbit/s between machines. Nothing is measured. The first command takes a
minute on one core, the second about three.
"""

import argparse

import harness

from radenhance.planning.pipeline import PipelinePlan, plan_pipeline, strategy_of
from radenhance.planning.planned_run import PlannedRun
from radenhance.planning.step_plan import StepPlan
from radenhance.strategies import EncoderDecoderStrategy
from radenhance.units import GIB

TECHNIQUES = ["--model.memory.band_rows=auto", "--model.memory.checkpointing=unit"]
PAIR = "--trainer.strategy=radenhance.strategies.EncoderDecoderStrategy"
PLACEMENTS = {
    "one card": [],
    "encoder, decoder": [PAIR, "--trainer.devices=2"],
    "encoder, decoder; stem on both": [
        *(PAIR, "--trainer.strategy.stem_on_both=true", "--trainer.devices=2"),
    ],
    "rows over two": ["--trainer.strategy=rows", "--trainer.devices=2"],
    "rows over four": ["--trainer.strategy=rows", "--trainer.devices=4"],
}
GBITS = (1.0, 10.0, 100.0)


def parser() -> argparse.ArgumentParser:
    flags = harness.parser(__doc__)
    flags.add_argument("--sizes", type=harness.listed_numbers, default="1024,2048",
                       help="sides of the images in pixels")  # fmt: skip
    flags.add_argument("--encoder", default="resnet18", help="encoder of the network")
    return flags


def main(options: argparse.Namespace) -> None:
    harness.print_heading(f"{options.encoder}, batch 1, float32, Adam, MS-SSIM; planned")
    waits = [f"ms at {gbit:g} Gbit/s" for gbit in GBITS]
    columns = ("px", "GiB each", "computing, ms", *waits)
    with harness.table("placement", *columns, names=PLACEMENTS) as row:
        for size in options.sizes:
            for name, flags in PLACEMENTS.items():
                run = PlannedRun([f"--model.encoder={options.encoder}", *TECHNIQUES, *flags])
                plan = plan_of(run, size)
                computing = time_of(plan)
                times = [computing + wait_of(plan, gbit) for gbit in GBITS]
                milliseconds = [f"{1000 * time:.0f}" for time in (computing, *times)]
                row(name, size, f"{plan.needed_bytes / GIB:.1f}", *milliseconds)


def plan_of(run: PlannedRun, size: int) -> StepPlan | PipelinePlan:
    if isinstance(run.strategy(), EncoderDecoderStrategy):
        return plan_pipeline(run, strategy_of(run), (size, size))
    return run.plan((size, size))


def time_of(plan: StepPlan | PipelinePlan) -> float:
    return plan.computing_seconds if isinstance(plan, PipelinePlan) else plan.seconds


def wait_of(plan: StepPlan | PipelinePlan, gbit: float) -> float:
    """Return the seconds in which a step's bytes cross the network."""
    if isinstance(plan, PipelinePlan):
        return plan.network_seconds(gbit)
    return plan.wire.seconds(gbit) if plan.wire is not None else 0.0


if __name__ == "__main__":
    main(parser().parse_args())
