"""The validation images that a network does best and worst on."""

from dataclasses import dataclass
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn.functional import interpolate
from typing_extensions import override

from radenhance import metric_names

LONGEST = 512
"""Pixels of the longer side that are kept: enough to look at, and little beside a radiograph."""


@dataclass(frozen=True)
class Shown:
    """One validation image.

    Args:
        case: What the dataset calls it: its number, or its path where names are wanted.
        raw: Float32 (H, W) in [0, 1], on the CPU, as are the next three; no side above LONGEST.
        enhanced: Clipped to [0, 1].
        target: In [0, 1].
        error: |enhanced - target|, taken at full size.
        ms_ssim: Of enhanced and target, at full size.
    """

    case: str
    raw: Tensor
    enhanced: Tensor
    target: Tensor
    error: Tensor
    ms_ssim: float


class BestAndWorst(Callback):
    """Keeps the images of highest and lowest MS-SSIM of the latest validation."""

    def __init__(self) -> None:
        self.best: Shown | None = None
        self.worst: Shown | None = None

    @override
    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.best = self.worst = None

    @override
    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if outputs is None:  # of a rank that does not have the end of the network
            return
        for i, similarity in enumerate(outputs[metric_names.MS_SSIM].tolist()):
            is_worst = self.worst is None or similarity < self.worst.ms_ssim
            is_best = self.best is None or similarity > self.best.ms_ssim
            if not (is_worst or is_best):
                continue
            shown = _shown(batch, outputs["enhanced"], similarity, i)
            self.worst = shown if is_worst else self.worst
            self.best = shown if is_best else self.best


def _shown(batch: dict[str, Any], enhanced: Tensor, similarity: float, i: int) -> Shown:
    raw, target = batch["raw"][i, 0].float(), batch["target"][i, 0].float()
    clipped = enhanced[i, 0].float().clamp(0, 1)
    return Shown(
        case=batch["case"][i],
        raw=_reduced(raw),
        enhanced=_reduced(clipped),
        target=_reduced(target),
        error=_reduced((clipped - target).abs()),
        ms_ssim=similarity,
    )


def _reduced(image: Tensor) -> Tensor:
    scale = LONGEST / max(image.shape)
    if scale < 1:
        size = [max(round(side * scale), 1) for side in image.shape]
        image = interpolate(image[None, None], size, mode="area")[0, 0]
    return image.cpu()
