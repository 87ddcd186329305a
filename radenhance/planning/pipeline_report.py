"""The plan of encoder and decoder on two GPUs, as text and as JSON."""

from dataclasses import asdict, dataclass
from typing import Any

from radenhance.planning.planned_run import Size
from radenhance.planning.stages import STAGES, PipelinePlan
from radenhance.units import in_mib

PAPER_NETWORK_GBIT = 10.0


@dataclass(frozen=True)
class PipelineAnswer:
    """What `radenhance plan` says of one image size on two GPUs.

    Args:
        size: Rows and columns of the training images, padded to multiples of 32.
        plan: Of both.
        limit_bytes: Of each GPU; None where there is none to compare with.
        network_gbit: Bandwidth between them in Gbit/s.
    """

    size: Size
    plan: PipelinePlan
    limit_bytes: int | None
    network_gbit: float = PAPER_NETWORK_GBIT

    @property
    def network_seconds(self) -> float:
        """In which the bytes of a step cross the network, were it doing nothing else."""
        return self.plan.sent_bytes * 8 / (self.network_gbit * 1e9)

    @property
    def needed_bytes(self) -> int:
        """Of the fuller GPU."""
        return max(stage.needed_bytes for stage in self.plan.stages.values())


def pipeline_as_text(answer: PipelineAnswer, title: str) -> str:
    """Return both GPUs side by side, what they send, and the verdict."""
    rows, columns = answer.size
    plan = answer.plan
    lines = [
        f"{title}, cut before {plan.cut}, {rows} x {columns} px",
        "",
        f"{'':<30}{'encoder':>12}{'decoder':>12}",
    ]
    for name, label in (
        ("forward_bytes", "rise in the forward phase"),
        ("backward_bytes", "rise in the backward phase"),
        ("peak_bytes", "highest use"),
        ("needed_bytes", "needed, with allowances"),
    ):
        values = [in_mib(getattr(plan.stages[stage], name)) for stage in STAGES]
        lines.append(f"  {label:<28}{values[0]:>12}{values[1]:>12}")
    lines += [
        "",
        f"sent in a step: features {in_mib(plan.features_bytes)}, gradients "
        f"{in_mib(plan.gradients_bytes)}, images {in_mib(plan.batch_bytes)}; "
        f"{answer.network_seconds:.2f} s at {answer.network_gbit:g} Gbit/s",
    ]
    if answer.limit_bytes is not None:
        lines += ["", *(_verdict(answer, stage) for stage in STAGES)]
    return "\n".join(lines)


def pipeline_as_dict(answer: PipelineAnswer) -> dict[str, Any]:
    """Return the plan with all sizes in bytes."""
    limit = answer.limit_bytes
    stages = {
        stage: asdict(plan)
        | {
            "needed_bytes": plan.needed_bytes,
            "fits": None if limit is None else plan.needed_bytes <= limit,
        }
        for stage, plan in answer.plan.stages.items()
    }
    return {
        "size": answer.size,
        "limit_bytes": limit,
        "cut": answer.plan.cut,
        "stages": stages,
        "features_bytes": answer.plan.features_bytes,
        "gradients_bytes": answer.plan.gradients_bytes,
        "batch_bytes": answer.plan.batch_bytes,
        "sent_bytes": answer.plan.sent_bytes,
        "network_seconds": answer.network_seconds,
        "needed_bytes": answer.needed_bytes,
    }


def _verdict(answer: PipelineAnswer, stage: Any) -> str:
    assert answer.limit_bytes is not None
    left = answer.limit_bytes - answer.plan.stages[stage].needed_bytes
    there = in_mib(answer.limit_bytes)
    if left >= 0:
        return f"the {stage} fits in {there}, {in_mib(left)} to spare"
    return f"the {stage} does not fit in {there}: {in_mib(-left)} too much"
