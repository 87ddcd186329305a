"""What to say of a run that a GPU has no room for, before it starts and after it stopped."""

from radenhance.errors import GpuMemoryError
from radenhance.planning.pipeline_report import PipelineAnswer, pipeline_as_text
from radenhance.planning.planned_run import PlannedRun, Size, flags_in_words
from radenhance.planning.report import Answer, as_text, breakdown_in_a_line
from radenhance.planning.search import candidates
from radenhance.planning.stages import padded, plan_pipeline, strategy_of
from radenhance.planning.step_plan import CONTEXT_BYTES, StepPlan
from radenhance.units import in_mib


def warning(run: PlannedRun, plan: StepPlan, free_bytes: int) -> str | None:
    """Return what to warn of before the first step, or None where the plan fits.

    Args:
        run: What is about to start.
        plan: Of its step.
        free_bytes: Of the GPU now, the CUDA context already made.
    """
    limit = free_bytes + CONTEXT_BYTES
    if plan.needed_bytes <= limit:
        return None
    return (
        f"this run will probably not fit on the GPU: {breakdown_in_a_line(plan)}, and "
        f"{in_mib(limit)} are there; {advice(run, run.image_size, limit)}"
    )


def plan_and_warning(run: PlannedRun, free_bytes: int, total_bytes: int) -> tuple[str, str | None]:
    """Return the plan of a run as text, and what to warn of before its first step.

    Args:
        run: What is about to start.
        free_bytes: Of the GPU now, the CUDA context already made; for encoder and decoder, of the
            decoder's, and the encoder's is taken to be like it.
        total_bytes: Of the GPU.
    """
    strategy = strategy_of(run)
    if strategy is None:
        plan = run.plan(run.image_size)
        text = as_text(Answer(run.image_size, plan, total_bytes), run.title)
        return text, warning(run, plan, free_bytes)
    size = padded(run.image_size)
    answer = PipelineAnswer(size, plan_pipeline(run, strategy, size), total_bytes)
    text = pipeline_as_text(answer, run.title)
    limit = free_bytes + CONTEXT_BYTES
    if answer.needed_bytes <= limit:
        return text, None
    return text, (
        f"this run will probably not fit on the GPUs: the fuller one needs "
        f"{in_mib(answer.needed_bytes)}, and {in_mib(limit)} are there; add "
        f"--trainer.precision=16-mixed or --model.memory.checkpointing=unit, or let "
        f"--trainer.strategy.cut=auto move the cut"
    )


def out_of_memory(run: PlannedRun, limit_bytes: int | None) -> GpuMemoryError:
    """Return the error that ends a fit that ran out of GPU memory.

    Args:
        run: What stopped.
        limit_bytes: What it could have had; the plan itself, when that is not known.
    """
    plan = run.plan(run.image_size)
    limit = plan.needed_bytes - 1 if limit_bytes is None else limit_bytes
    rows, columns = run.image_size
    return GpuMemoryError(
        f"the GPU ran out of memory at {rows} x {columns} px ({breakdown_in_a_line(plan)}); "
        f"{advice(run, run.image_size, limit)}. The last checkpoint is untouched: resume with "
        f"--ckpt_path last"
    )


def advice(run: PlannedRun, size: Size, limit_bytes: int) -> str:
    """Return the quickest recipe's techniques that fit, as flags to add."""
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
