"""A plan as text and as JSON: of one device, or of encoder and decoder side by side."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from radenhance.planning.pipeline import PipelinePlan
from radenhance.planning.planned_run import Size
from radenhance.planning.search import Candidate
from radenhance.planning.step_plan import CONTEXT_BYTES, KINDS, PHASES, StepPlan, Wire
from radenhance.planning.traffic import MIDDLE_CARD
from radenhance.units import in_mib

PAPER_NETWORK_GBIT = 10.0

MUCH_WAITING = 1 / 3
"""Share of a step from which on the network is warned of."""

LESS_TO_SEND = "--trainer.strategy.stem_on_both true and --trainer.strategy.bfloat16_transfer true"

MEANING = {
    "weights": "weights and statistics",
    "gradients": "gradients of the weights",
    "optimizer": "state of the optimizer",
    "input": "images",
    "activations": "activations",
    "loss": "loss",
    "backward": "made in the backward pass",
}
"""Kind of KINDS -> what it means."""


@dataclass(frozen=True)
class Answer:
    """What `radenhance plan` says of one image size.

    Args:
        size: Rows and columns of the training images.
        plan: Plan of one device, or of two.
        limit_bytes: Memory of each GPU; None where there is none to compare with.
        found: The recipes' techniques on that run, where they were asked for.
        network_gbit: Bandwidth between two devices in Gbit/s.
        device: What the time of a step was measured on; empty where it was not.
        num_steps: Steps of an epoch, where that is known.
    """

    size: Size
    plan: StepPlan | PipelinePlan
    limit_bytes: int | None
    found: list[Candidate] = field(default_factory=list)
    network_gbit: float = PAPER_NETWORK_GBIT
    device: str = ""
    num_steps: int | None = None

    @property
    def network_seconds(self) -> float:
        """Time in which a step's bytes cross the network, if it does nothing else."""
        if isinstance(self.plan, StepPlan):
            return self.plan.wire.seconds(self.network_gbit) if self.plan.wire else 0.0
        return self.plan.network_seconds(self.network_gbit)

    @property
    def network_share(self) -> float:
        """Share of a step's time in which devices wait for the network, on a card of `traffic`."""
        if not isinstance(self.plan, PipelinePlan):
            return 0.0
        return self.network_seconds / (self.network_seconds + self.plan.computing_seconds)


def as_text(answer: Answer, title: str) -> str:
    """Return the plan as a table, the verdict, and the recipes that were searched."""
    rows, columns = answer.size
    plan, limit = answer.plan, answer.limit_bytes
    if isinstance(plan, PipelinePlan):
        title = f"{title}, cut before {plan.cut}"
        stages = {str(stage): of_stage for stage, of_stage in plan.stages.items()}
        lines = [f"{'':<30}" + "".join(f"{stage:>12}" for stage in stages), *_breakdown(stages)]
        lines += ["", _traffic(answer, plan)]
        if answer.network_share > MUCH_WAITING:
            lines.append(_waiting(answer, plan))
    else:
        stages = {"": plan}
        lines = _breakdown(stages)
        if plan.wire is not None:
            lines += ["", _rows_traffic(answer, plan.wire)]
        if answer.device:
            lines += ["", _time(answer, plan)]
    if limit is not None:
        lines += ["", *(verdict(of_stage, limit, stage) for stage, of_stage in stages.items())]
    if answer.found:
        lines += ["", *_search_table(answer)]
    return "\n".join([f"{title}, {rows} x {columns} px", "", *lines])


def as_dict(answer: Answer) -> dict[str, Any]:
    """Return the plan with all sizes in bytes."""
    plan, limit = answer.plan, answer.limit_bytes
    head = {"size": answer.size, "limit_bytes": limit}
    if isinstance(plan, PipelinePlan):
        stages = {name: _plan_dict(of_stage, limit) for name, of_stage in plan.stages.items()}
        return {
            **head,
            **asdict(plan),
            "stages": stages,
            "sent_bytes": plan.sent_bytes,
            "network_seconds": answer.network_seconds,
            "network_share": answer.network_share,
            "needed_bytes": plan.needed_bytes,
        }
    found = [
        {"recipe": one.recipe, "changes_function": one.changes_function}
        | _plan_dict(one.plan, limit)
        for one in answer.found
    ]
    return head | _plan_dict(plan, limit) | {"search": found}


def verdict(plan: StepPlan, limit_bytes: int, stage: str = "") -> str:
    """Say in one sentence whether a step fits.

    Args:
        plan: Plan of one device.
        limit_bytes: Memory of the device.
        stage: The network's stage on it, if it has not all of them.
    """
    subject = f"the {stage} " if stage else ""
    left = limit_bytes - plan.needed_bytes
    if left >= 0:
        return f"{subject}fits in {in_mib(limit_bytes)}, {in_mib(left)} to spare"
    does_not = "does not fit in"
    return f"{subject}{does_not} {in_mib(limit_bytes)}: {in_mib(-left)} too much"


def breakdown_in_a_line(plan: StepPlan | PipelinePlan) -> str:
    """Return the kinds that matter on the fuller device, for a message."""
    of_device = plan.fuller if isinstance(plan, PipelinePlan) else plan
    kinds = sorted(of_device.kinds.items(), key=lambda item: -item[1])
    named = [f"{MEANING[kind]} {in_mib(size)}" for kind, size in kinds[:4] if size]
    return f"{in_mib(of_device.needed_bytes)} planned: {', '.join(named)}"


def _breakdown(stages: Mapping[str, StepPlan]) -> list[str]:
    """Return a line for each figure, with a column for each device."""
    plans = list(stages.values())

    def line(label: str, *values: int) -> str:
        return f"  {label:<28}" + "".join(f"{in_mib(value):>12}" for value in values)

    table = [line(phase, *(plan.phases[phase] for plan in plans)) for phase in PHASES]
    rises = [
        ("rise in the forward phase", [plan.forward_bytes for plan in plans]),
        ("rise in the backward phase", [plan.backward_bytes for plan in plans]),
    ]
    if len(plans) == 1:
        for i, (_, (rise,)) in enumerate(rises):
            table[i] += f"   rise {in_mib(rise)}"
    else:
        table += [line(label, *values) for label, values in rises]
    kinds = [line(MEANING[kind], *(plan.kinds[kind] for plan in plans)) for kind in KINDS]
    allowances = [
        line("allowance: workspaces", *(plan.workspace_bytes for plan in plans)),
        line("allowance: CUDA context", *(CONTEXT_BYTES for _ in plans)),
        line("needed", *(plan.needed_bytes for plan in plans)),
    ]
    host = [plan.host_bytes for plan in plans]
    waits = [line("waits in host memory", *host)] if any(host) else []
    return ["highest use of each phase", *table, "at the peak", *kinds, *allowances, *waits]


def _traffic(answer: Answer, plan: PipelinePlan) -> str:
    return (
        f"sent in a step: features {in_mib(plan.features_bytes)}, gradients "
        f"{in_mib(plan.gradients_bytes)}, images {in_mib(plan.batch_bytes + plan.output_bytes)}; "
        f"{answer.network_seconds:.2f} s at {answer.network_gbit:g} Gbit/s"
    )


def _waiting(answer: Answer, plan: PipelinePlan) -> str:
    """Say how much of a step is waiting for the network, and what shortens it."""
    wait, whole = (
        1000 * seconds
        for seconds in (answer.network_seconds, answer.network_seconds + plan.computing_seconds)
    )
    device = answer.device or f"a card of {1e-12 / MIDDLE_CARD.operation:g} TFLOP/s"
    return (
        f"waiting for the network: {wait:.0f} of about {whole:.0f} ms a step ({device}); less is "
        f"sent with {LESS_TO_SEND}"
    )


def _rows_traffic(answer: Answer, wire: Wire) -> str:
    return (
        f"by rows over {wire.num_processes} processes, each sends in a step: rows "
        f"{in_mib(wire.rows_bytes)}, statistics and gradients "
        f"{in_mib(wire.sent_bytes - wire.rows_bytes)}, in {wire.num_messages} messages; "
        f"{answer.network_seconds:.2f} s at {answer.network_gbit:g} Gbit/s"
    )


def _time(answer: Answer, plan: StepPlan) -> str:
    text = f"a step takes about {plan.seconds:.2g} s"
    if answer.num_steps is not None:
        seconds = round(answer.num_steps * plan.seconds)
        text += f", an epoch of {answer.num_steps} steps {seconds // 60} min {seconds % 60} s"
    return f"{text} on {answer.device}, by --calibrate"


def _search_table(answer: Answer) -> list[str]:
    # seconds where they were measured, else ratios to the quickest
    unit = 1.0 if answer.device else min(one.plan.seconds for one in answer.found)
    width = max(len(one.recipe) for one in answer.found)
    lines = [f"{'--config':<{width}}  {'needed':>11}  {'time':>5}{' s' if answer.device else ''}"]
    for one in answer.found:
        needed, ratio = in_mib(one.plan.needed_bytes), one.plan.seconds / unit
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
