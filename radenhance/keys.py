"""Names of what is logged, each written once."""

TRAIN_LOSS = "train/loss"
TRAIN_LOSS_STEP = "train/loss_step"
GRADIENT_NORM = "train/gradient_norm"

LOSS, MS_SSIM, SSIM, PSNR, MAE = "loss", "ms_ssim", "ssim", "psnr", "mae"
"""Measures of an image, behind `val/`, `test/` or `identity/`."""

VAL, TEST, IDENTITY = "val", "test", "identity"
VAL_LOSS = f"{VAL}/{LOSS}"
VAL_MS_SSIM = f"{VAL}/{MS_SSIM}"
