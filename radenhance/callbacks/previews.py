"""The best and the worst validation image of each epoch, as pictures in all loggers that take them.

A picture shows raw | enhanced | target | error, as the paper's figure 3 does with two of them. Grey
values are never stretched: 0 is black and 1 is white in every epoch, so that pictures compare.
"""

import numpy as np
import numpy.typing as npt
from lightning.pytorch import LightningModule, Trainer
from typing_extensions import override

from radenhance.callbacks.best_and_worst import BestAndWorst, Shown
from radenhance.contact_sheet import Row, contact_sheet
from radenhance.log_points import gathered, log_image, without_curves

ERROR_GAIN = 4
"""The error is shown brighter than it is: white where it is a quarter of the range or more."""


class Previews(BestAndWorst):
    """Logs the validation images of highest and lowest MS-SSIM, over all ranks."""

    @override
    @without_curves()
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the pictures; every rank takes part."""
        if trainer.sanity_checking:
            return
        ranks = gathered([vars(shown) for shown in (self.best, self.worst) if shown])
        every = [Shown(**fields) for rank in ranks for fields in rank]
        best = max(every, key=_ms_ssim, default=None)
        worst = min(every, key=_ms_ssim, default=None)
        for name, shown in (("best", best), ("worst", worst)):
            if shown is not None:
                sheet = preview(f"{name} of epoch {trainer.current_epoch}", shown)
                log_image(trainer, f"validation/{name}", sheet)


def preview(title: str, shown: Shown) -> npt.NDArray[np.uint8]:
    """Return one image's raw | enhanced | target | error as grey values, shape (H, W)."""
    error = (ERROR_GAIN * shown.error).clamp(max=1)
    row = Row(
        title=f"{title}: {shown.case}, MS-SSIM {shown.ms_ssim:.4f}",
        images=[image.numpy() for image in (shown.raw, shown.enhanced, shown.target, error)],
        captions=["raw", "enhanced", "target", f"error (white: {1 / ERROR_GAIN} or more)"],
    )
    return contact_sheet([row])


def _ms_ssim(shown: Shown) -> float:
    return shown.ms_ssim
