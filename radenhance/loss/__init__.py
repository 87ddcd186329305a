"""How images are compared: `ms_ssim.py` defines the loss, `streamed_ms_ssim.py` trains with it."""
