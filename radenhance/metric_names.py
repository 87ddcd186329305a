"""Names of what is logged, each written once."""

TRAIN_LOSS = "train/loss"
TRAIN_LOSS_STEP = "train/loss_step"
GRADIENT_NORM = "train/gradient_norm"

LOSS, MS_SSIM, SSIM, PSNR, MAE = "loss", "ms_ssim", "ssim", "psnr", "mae"
"""Measures of an image, behind `val/`, `test/` or `identity/`."""

CNR, EME = "cnr", "eme"
"""Contrast of an image, which only `radenhance evaluate` measures."""

VAL, TEST, IDENTITY = "val", "test", "identity"
VAL_LOSS = f"{VAL}/{LOSS}"
VAL_MS_SSIM = f"{VAL}/{MS_SSIM}"

IDENTITY_LOSS = f"{IDENTITY}/{LOSS}"
IDENTITY_MS_SSIM = f"{IDENTITY}/{MS_SSIM}"

STEP_S, EPOCH_S = "time/step_s", "time/epoch_s"
"""Seconds of an optimizer step with its loading, without validation; of an epoch with both."""

FORWARD, BACKWARD, OPTIMIZER, PEAK = "forward", "backward", "optimizer", "peak"
"""Phases of a step, and its peak."""

RUN_PEAK = "run_peak"
"""The highest peak of the run so far, on the fullest rank."""

ALLOCATED, RESERVED = "allocated", "reserved"
NVML_DEVICE, NVML_PROCESS = "nvml_device", "nvml_process"
PROCESS_RSS = "process_rss"
"""What measured memory: PyTorch's allocator, the driver, or the system where there is no GPU."""

PLANNED = "planned"
"""Not measured: the tensors of a step as the planner counts them, where there is no GPU."""


def memory(phase: str, source: str, stage: str | None = None) -> str:
    """Return the name of a memory figure in MiB, such as memory/forward_mib/allocated/encoder.

    Args:
        phase: Of the step, or PEAK or RUN_PEAK.
        source: What measured it.
        stage: The part of a distributed run; None where there is one.
    """
    name = f"memory/{phase}_mib/{source}"
    return name if stage is None else f"{name}/{stage}"
