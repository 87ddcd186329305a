"""What to say of a run that a GPU has no room for, before it starts and after it stopped.

All of it is advice: whatever goes wrong in a plan is said in a line, and the run goes on.
"""

from collections.abc import Mapping
from typing import Any

from radenhance import metric_names
from radenhance.errors import GpuMemoryError
from radenhance.planning.pipeline import PipelinePlan, plan_pipeline, strategy_of
from radenhance.planning.planned_run import PlanError, PlannedRun, Size, flags_in_words, reason
from radenhance.planning.report import Answer, as_text, breakdown_in_a_line
from radenhance.planning.search import candidates
from radenhance.planning.step_plan import CONTEXT_BYTES, StepPlan
from radenhance.units import in_mib

FOR_TWO_DEVICES = (
    "add --trainer.precision=16-mixed or --model.memory.checkpointing=unit, or let "
    "--trainer.strategy.cut=auto move the cut"
)
FOR_ANY_RUN = (
    "add --model.memory.band_rows=auto, --model.memory.checkpointing=unit or "
    "--trainer.precision=16-mixed, or take smaller images (--data.image_size, --data.crop_size)"
)


def plan_of(run: PlannedRun, size: Size) -> StepPlan | PipelinePlan:
    """Return the plan of a run on one device, or on two.

    Args:
        run: The run.
        size: Rows and columns of the images in pixels.

    Raises:
        PlanError: The step cannot be planned.
    """
    strategy = strategy_of(run)
    return run.plan(size) if strategy is None else plan_pipeline(run, strategy, size)


def plan_and_warning(run: PlannedRun, free_bytes: int, total_bytes: int) -> tuple[str, str | None]:
    """Return the plan of a run as text, and what to warn of before its first step.

    Args:
        run: The run that is about to start.
        free_bytes: Free memory of the GPU, the CUDA context already made; with encoder and decoder,
            of the decoder's, and the encoder's is taken to be like it.
        total_bytes: Memory of the GPU.
    """
    try:
        plan = plan_of(run, run.image_size)
        text = as_text(Answer(run.image_size, plan, total_bytes), run.title)
        return text, warning(run, plan, free_bytes)
    except Exception as error:  # the run that is about to start knows better
        said = reason(error)
        line = said if "could not be planned" in said else f"could not be planned: {said}"
        return line, line


def planned_phases(run: PlannedRun) -> dict[str | None, dict[str, int]]:
    """Return what a step takes, by stage and phase in bytes, of nothing where it cannot be planned.

    Args:
        run: The run, whose stage is called None where it has one.
    """
    try:
        plan = plan_of(run, run.image_size)
    except PlanError:
        return {}
    stages: Mapping[Any, StepPlan] = plan.stages if isinstance(plan, PipelinePlan) else {None: plan}
    return {
        stage: {
            metric_names.FORWARD: one.forward_bytes,
            metric_names.BACKWARD: one.backward_bytes,
            metric_names.PEAK: one.peak_bytes,
        }
        for stage, one in stages.items()
    }


def warning(run: PlannedRun, plan: StepPlan | PipelinePlan, free_bytes: int) -> str | None:
    """Return what to warn of before the first step, or None where the plan fits.

    Args:
        run: The run that is about to start.
        plan: Plan of its step.
        free_bytes: Free memory of the GPU, the CUDA context already made.
    """
    limit = free_bytes + CONTEXT_BYTES
    if plan.needed_bytes <= limit:
        return None
    if isinstance(plan, PipelinePlan):
        return (
            f"this run will probably not fit on the GPUs: the fuller one needs "
            f"{in_mib(plan.needed_bytes)}, and {in_mib(limit)} are there; {FOR_TWO_DEVICES}"
        )
    return (
        f"this run will probably not fit on the GPU: {breakdown_in_a_line(plan)}, and "
        f"{in_mib(limit)} are there; {advice(run, run.image_size, limit)}"
    )


def out_of_memory(run: PlannedRun, limit_bytes: int | None) -> GpuMemoryError:
    """Return the error that ends a fit that ran out of GPU memory.

    Args:
        run: The run that stopped.
        limit_bytes: Memory that it could have had; None if that is not known.
    """
    try:
        what = _out_of_memory(run, limit_bytes)
    except Exception:  # then there is no more to say than that it ran out
        what = f"the GPU ran out of memory; {FOR_ANY_RUN}"
    return GpuMemoryError(f"{what}. The last checkpoint is intact: resume with --ckpt_path last")


def _out_of_memory(run: PlannedRun, limit_bytes: int | None) -> str:
    rows, columns = run.image_size
    plan = plan_of(run, run.image_size)
    limit = plan.needed_bytes - 1 if limit_bytes is None else limit_bytes
    pipeline = isinstance(plan, PipelinePlan)
    remedy = FOR_TWO_DEVICES if pipeline else advice(run, run.image_size, limit)
    return (
        f"the GPU ran out of memory at {rows} x {columns} px ({breakdown_in_a_line(plan)}); "
        f"{remedy}"
    )


def advice(run: PlannedRun, size: Size, limit_bytes: int) -> str:
    """Return the quickest recipe's techniques that fit, as flags to add.

    Args:
        run: The run.
        size: Rows and columns of the images in pixels.
        limit_bytes: Memory of the GPU.
    """
    for one in candidates(run, size):
        if one.plan.needed_bytes <= limit_bytes:
            words = " ".join(flags_in_words(one.flags))
            function = ", with another function of the weights" if one.changes_function else ""
            return (
                f"the techniques of {one.recipe} need {in_mib(one.plan.needed_bytes)}{function}: "
                f"add {words}"
            )
    return (
        "no recipe makes it fit; take smaller images (--data.image_size, --data.crop_size), "
        "`radenhance plan --max-size` says how large they may be"
    )
