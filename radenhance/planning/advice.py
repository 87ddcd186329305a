"""What to say of a run that a GPU has no room for, before it starts and after it stopped."""

from radenhance.errors import GpuMemoryError
from radenhance.memory.plan import CONTEXT_BYTES, StepPlan
from radenhance.planning.planned_run import PlannedRun, Size, flags_in_words
from radenhance.planning.report import breakdown_in_a_line, in_mib
from radenhance.planning.search import candidates


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
