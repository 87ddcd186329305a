"""Enhanced radiographs as files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor
from typing_extensions import override

from radenhance.dicom.write import write_png


class PredictionWriter(BasePredictionWriter):
    """Writes what `radenhance predict` makes: a 16-bit PNG for each radiograph.

    Args:
        folder: Where to; made when it is not there. A file that is there already is replaced.
    """

    def __init__(self, folder: Path = Path("enhanced")) -> None:
        super().__init__(write_interval="batch")
        self.folder = folder

    @override
    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Tensor,
        batch_indices: Sequence[int] | None,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write the images of one batch, each under the stem of its raw file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for case, image in zip(batch["case"], prediction, strict=True):
            write_png(self.folder / f"{Path(case).stem}.png", image[0].cpu().numpy())
