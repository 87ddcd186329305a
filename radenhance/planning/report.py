"""A plan as text and as JSON."""

from dataclasses import asdict, dataclass, field
from typing import Any

from radenhance.planning.planned_run import Size
from radenhance.planning.search import Candidate
from radenhance.planning.step_plan import CONTEXT_BYTES, KINDS, PHASES, StepPlan
from radenhance.units import in_mib

MEANING = {
    "weights": "weights and statistics",
    "gradients": "gradients of the weights",
    "optimizer": "state of the optimizer",
    "input": "images",
    "activations": "activations",
    "loss": "loss",
    "backward": "made in the backward pass",
}
"""Of KINDS."""


@dataclass(frozen=True)
class Answer:
    """What `radenhance plan` says of one image size.

    Args:
        size: Rows and columns of the training images.
        plan: Of the run as its flags are.
        limit_bytes: Of the GPU; None where there is none to compare with.
        found: The recipes' techniques on that run, where they were asked for.
    """

    size: Size
    plan: StepPlan
    limit_bytes: int | None
    found: list[Candidate] = field(default_factory=list)


def as_text(answer: Answer, title: str) -> str:
    """Return the plan as a table, the verdict, and the recipes that were searched."""
    rows, columns = answer.size
    lines = [f"{title}, {rows} x {columns} px", "", *_breakdown(answer.plan)]
    if answer.limit_bytes is not None:
        lines += ["", verdict(answer.plan, answer.limit_bytes)]
    if answer.found:
        lines += ["", *_search_table(answer)]
    return "\n".join(lines)


def as_dict(answer: Answer) -> dict[str, Any]:
    """Return the plan with all sizes in bytes."""
    limit = answer.limit_bytes
    found = [
        {"recipe": one.recipe, "changes_function": one.changes_function}
        | _plan_dict(one.plan, limit)
        for one in answer.found
    ]
    plan = _plan_dict(answer.plan, limit)
    return {"size": answer.size, "limit_bytes": limit} | plan | {"search": found}


def verdict(plan: StepPlan, limit_bytes: int) -> str:
    """Say in one sentence whether a step fits."""
    left = limit_bytes - plan.needed_bytes
    if left >= 0:
        return f"fits in {in_mib(limit_bytes)}, {in_mib(left)} to spare"
    return f"does not fit in {in_mib(limit_bytes)}: {in_mib(-left)} too much"


def breakdown_in_a_line(plan: StepPlan) -> str:
    """Return the kinds that matter, for a message."""
    kinds = sorted(plan.kinds.items(), key=lambda item: -item[1])
    named = [f"{MEANING[kind]} {in_mib(size)}" for kind, size in kinds[:4] if size]
    return f"{in_mib(plan.needed_bytes)} planned: {', '.join(named)}"


def _breakdown(plan: StepPlan) -> list[str]:
    rises = {"forward": plan.forward_bytes, "backward": plan.backward_bytes}
    table = [
        f"  {phase:<28}{in_mib(plan.phases[phase]):>12}"
        + (f"   rise {in_mib(rises[phase])}" if phase in rises else "")
        for phase in PHASES
    ]
    kinds = [f"  {MEANING[kind]:<28}{in_mib(plan.kinds[kind]):>12}" for kind in KINDS]
    allowances = [
        f"  {'allowance: workspaces':<28}{in_mib(plan.workspace_bytes):>12}",
        f"  {'allowance: CUDA context':<28}{in_mib(CONTEXT_BYTES):>12}",
        f"  {'needed':<28}{in_mib(plan.needed_bytes):>12}",
    ]
    host = (
        [f"  {'waits in host memory':<28}{in_mib(plan.host_bytes):>12}"] if plan.host_bytes else []
    )
    return ["highest use of each phase", *table, "at the peak", *kinds, *allowances, *host]


def _search_table(answer: Answer) -> list[str]:
    quickest = min(one.plan.seconds for one in answer.found)
    width = max(len(one.recipe) for one in answer.found)
    lines = [f"{'--config':<{width}}  {'needed':>11}  {'time':>5}"]
    for one in answer.found:
        needed, ratio = in_mib(one.plan.needed_bytes), one.plan.seconds / quickest
        lines.append(
            f"{one.recipe:<{width}}  {needed:>11}  {ratio:>5.2f}  {_note(one, answer.limit_bytes)}"
        )
    return [line.rstrip() for line in lines]


def _note(one: Candidate, limit: int | None) -> str:
    function = "another function of the weights" if one.changes_function else ""
    if limit is None:
        return function
    fits = one.plan.needed_bytes <= limit
    return ", ".join(filter(None, ["fits" if fits else "does not fit", function]))


def _plan_dict(plan: StepPlan, limit: int | None) -> dict[str, Any]:
    return asdict(plan) | {
        "peak_bytes": plan.peak_bytes,
        "workspace_bytes": plan.workspace_bytes,
        "context_bytes": CONTEXT_BYTES,
        "needed_bytes": plan.needed_bytes,
        "fits": None if limit is None else plan.needed_bytes <= limit,
    }
