"""Enhanced radiographs as files."""

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor
from torch import distributed as dist
from typing_extensions import override

from radenhance.dataset.field import OPAQUE
from radenhance.dicom.write import write_png
from radenhance.prepare.passed_over import Failure
from radenhance.strategies.peers import PeerGroup
from radenhance.strategies.protocol import PartitionedStrategy


class PredictionWriter(Callback):
    """Writes what `radenhance predict` makes: a 16-bit PNG for each radiograph.

    Those that the data module could not read are in `failures` after the prediction.

    Args:
        folder: The folder of the images, which lie in the same subfolders as their raw files. A
            file that is there already is replaced only if radenhance wrote it.
    """

    def __init__(self, folder: Path = Path("enhanced")) -> None:
        self.folder = folder
        self.num_written = 0
        """Images that all processes wrote, after the prediction."""
        self.failures: list[Failure] = []
        """Radiographs that they passed over, after the prediction."""
        self._num_whole = self._num_images = 0

    @override
    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count from the start."""
        self.num_written, self.failures = 0, []

    @override
    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Tensor,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the images of one batch, in the folders that their raw files lie in."""
        strategy = getattr(trainer, "strategy", None)
        if isinstance(strategy, PartitionedStrategy) and not strategy.writes_results:
            return
        for name, image in zip(batch["name"], outputs, strict=True):
            path = self.folder / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_png(path, image[0].cpu().numpy())
            self.num_written += 1
        if "field" in batch:
            self._num_images += len(outputs)
            self._num_whole += int((batch["field"] == OPAQUE).flatten(1).all(1).sum())

    @override
    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say in how many images there was nothing to make black, and collect what failed."""
        if self._num_whole:
            rank_zero_info(
                f"No exposed field was found in {self._num_whole} of {self._num_images} images: "
                f"nothing was made black in them"
            )
        self._num_whole = self._num_images = 0
        self._collect(getattr(trainer, "datamodule", None))

    def _collect(self, data: object) -> None:
        own = [[one.case, one.reason] for one in getattr(data, "passed_over", [])]
        told: list[list[Any]] = [[self.num_written, own]]
        if dist.is_available() and dist.is_initialized():
            told = PeerGroup.of_all().gather(told[0])
        self.num_written = sum(number for number, _ in told)
        # processes of one image have read the same files, or one of them all
        found = dict.fromkeys(Failure(*one) for _, failures in told for one in failures)
        self.failures = sorted(found, key=lambda one: (len(one.case), one.case))  # case 9, case 10
