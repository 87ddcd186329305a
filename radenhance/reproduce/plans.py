"""What the planner says of every recipe at every size, kept in files beside the runs.

A plan takes seconds, a study has dozens, and a report is written again after each part of it: so a
plan is made once. It stands in for what no GPU here has measured.
"""

import json
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path

from radenhance.files import replace_file
from radenhance.flags.recipes import recipes
from radenhance.planning.pipeline import plan_pipeline, strategy_of
from radenhance.planning.planned_run import PlannedRun
from radenhance.units import MIB


@dataclass(frozen=True)
class Planned:
    """Planned memory of a training step.

    Args:
        forward_mib: Rise in the forward phase in MiB, the mean of both GPUs where there are two.
        backward_mib: Rise in the backward phase in MiB, likewise.
        needed_bytes: Bytes that the fuller GPU must have free, allowances included.
    """

    forward_mib: float
    backward_mib: float
    needed_bytes: int


def planned(out: Path, recipe: str, size: int, encoder: str | None = None) -> Planned:
    """Return the plan of a recipe on one image, from its file if there is one.

    Args:
        out: Folder of the study.
        recipe: Name without .yaml.
        size: Side of the image in pixels.
        encoder: Encoder in place of the recipe's own, or None.
    """
    path = out / "plans" / f"{recipe}-{encoder or 'own'}-{size}px.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = asdict(_plan(recipe, size, encoder))
        replace_file(path, json.dumps(made, indent=2).encode())
    return Planned(**json.loads(path.read_text(encoding="utf-8")))


def _plan(recipe: str, size: int, encoder: str | None) -> Planned:
    flags = ["--config", str(recipes()[f"{recipe}.yaml"]), "--data.batch_size=1"]
    run = PlannedRun([*flags, *([f"--model.encoder={encoder}"] if encoder else [])])
    strategy = strategy_of(run)
    if strategy is None:
        plan = run.plan((size, size))
        return Planned(plan.forward_bytes / MIB, plan.backward_bytes / MIB, plan.needed_bytes)
    stages = plan_pipeline(run, strategy, (size, size)).stages.values()
    return Planned(
        statistics.mean(stage.forward_bytes for stage in stages) / MIB,
        statistics.mean(stage.backward_bytes for stage in stages) / MIB,
        max(stage.needed_bytes for stage in stages),
    )
