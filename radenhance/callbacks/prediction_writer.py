"""Enhanced radiographs as files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor
from typing_extensions import override

from radenhance.dataset.field import OPAQUE
from radenhance.dicom.write import write_png


class PredictionWriter(BasePredictionWriter):
    """Writes what `radenhance predict` makes: a 16-bit PNG for each radiograph.

    Args:
        folder: The folder of the images, which lie in the same subfolders as their raw files. A
            file that is there already is replaced only if radenhance wrote it.
    """

    def __init__(self, folder: Path = Path("enhanced")) -> None:
        super().__init__(write_interval="batch")
        self.folder = folder
        self._num_whole = self._num_images = 0

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
        """Write the images of one batch, in the folders that their raw files lie in."""
        for name, image in zip(batch["name"], prediction, strict=True):
            path = self.folder / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_png(path, image[0].cpu().numpy())
        if "field" in batch:
            self._num_images += len(prediction)
            self._num_whole += int((batch["field"] == OPAQUE).flatten(1).all(1).sum())

    @override
    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say in how many images there was no area outside the field to make black."""
        if self._num_whole:
            rank_zero_info(
                f"No exposed field was found in {self._num_whole} of {self._num_images} images: "
                f"nothing was made black in them"
            )
        self._num_whole = self._num_images = 0
