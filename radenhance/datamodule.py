"""A dataset folder as Lightning's loaders."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset
from typing_extensions import override

from radenhance.dataset.cache import Cache, open_cache
from radenhance.dataset.decoded import ImageSize
from radenhance.dataset.description import Rules, load_rules
from radenhance.dataset.loader import DrawSampler, ResumableLoader
from radenhance.dataset.manifest import (
    MANIFEST,
    Pair,
    Split,
    find_pairs,
    may_be_radiograph,
    read_manifest,
)
from radenhance.dataset.pairs import (
    Augmentation,
    PairDataset,
    RadiographFiles,
    collate,
)
from radenhance.dataset.split import split_by_patient
from radenhance.errors import DatasetError, UsageError
from radenhance.prepare.synthesize import synthesize

DEFAULT_ROOT = Path("data/synthetic")
SPLITS_OF: dict[str, tuple[Split, ...]] = {
    "fit": ("train", "val"),
    "validate": ("val",),
    "test": ("test",),
}


class RadiographDataModule(LightningDataModule):
    """Pairs of raw and target radiographs from a folder.

    The folder holds raw/ and target/ with files of the same name (DICOM, PNG, TIFF or NPY) and,
    where `radenhance` wrote it, pairs.csv with species, patients and the split. Without a folder,
    60 synthetic radiographs are made once under data/synthetic.

    Args:
        root: The dataset folder; data/synthetic, made when it is not there, when nothing is said.
        image_size: Shorter side of the images in pixels, proportions kept; or native for the pixels
            as they are.
        window: How raw values become the network's input: auto stretches the range between the 0.1
            and 99.9 percentiles inside the collimator to [0, 1], which takes exposure and vendor
            curves out; declared uses the full scale of the declared bits.
        crop_size: Side of the square that training cuts out at random, in pixels. When nothing is
            said, it is image_size, and nothing is cut from native images.
        batch_size: Images per training step; 1 where images of different sizes are not cropped.
            Validation takes whole images, one at a time.
        val_fraction: Share of each species' radiographs that validates, in [0, 1), where pairs.csv
            does not say; by patient.
        augment: Symmetries of the square, rotation by up to 7 degrees, scale by 5 %, shift by 3 %
            in training.
        exposure_jitter: Largest change of exposure in training, in powers of two, of raw images
            that are linear in intensity; needs augment.
        cache: Whether every file is decoded only once, and kept in root/.cache, or where that
            cannot be written to in the user's cache folder; or the folder to keep it in. It may be
            removed at any time.
        num_workers: Processes that read ahead; 0 reads in the training process.
        predict_from: A raw radiograph, or a folder of them, for `radenhance predict`. What they do
            not declare themselves, dataset.yaml in root does.
        seed: Of the split, the order and the augmentation.
    """

    def __init__(  # noqa: PLR0913
        self,
        root: Path | None = None,
        image_size: ImageSize = 512,
        window: Literal["auto", "declared"] = "auto",
        crop_size: int | None = None,
        batch_size: int = 1,
        val_fraction: float = 0.2,
        augment: bool = True,
        exposure_jitter: float = 0.25,
        cache: bool | Path = True,
        num_workers: int = 2,
        predict_from: Path | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for flag, value, least in (
            ("image_size", 1 if image_size == "native" else image_size, 1),
            ("crop_size", 1 if crop_size is None else crop_size, 1),
            ("batch_size", batch_size, 1),
            ("num_workers", num_workers, 0),
        ):
            if value < least:
                or_native = "native or " if flag == "image_size" else ""
                raise UsageError(f"--data.{flag} must be {or_native}at least {least}, got {value}")
        self.save_hyperparameters("image_size", "window")  # what a checkpoint expects to see
        self.root = DEFAULT_ROOT if root is None else root
        self._makes_its_own = root is None
        self.image_size = image_size
        self.windowed = window == "auto"
        self.crop_size = crop_size if crop_size or image_size == "native" else image_size
        self.batch_size = batch_size
        self.val_fraction = val_fraction
        self.augment = augment
        self.exposure_jitter = exposure_jitter
        self.cache = cache
        self.num_workers = num_workers
        self.predict_from = predict_from
        self.seed = seed
        self.pairs: list[Pair] = []
        self._rules = Rules()
        self._decoded: Cache | None = None

    @override
    def prepare_data(self) -> None:
        """Make the default dataset when none was named and it is not there yet."""
        predicts = self.trainer is not None and self.trainer.state.fn == "predict"
        if self._makes_its_own and not predicts and not self.root.exists():
            synthesize(self.root)

    @override
    def setup(self, stage: str) -> None:
        """Read the manifest; what `stage` needs must be in it."""
        self._rules = load_rules(self.root)
        if stage == "predict":
            return
        if not self.root.is_dir():
            raise DatasetError(f"--data.root {self.root}: no such folder")
        self.pairs = self._read_pairs()
        for split in SPLITS_OF[stage]:
            self._refuse_empty(split)
        self._decoded = open_cache(self.root, self.cache)

    @override
    def train_dataloader(self) -> ResumableLoader:
        """Return augmented draws in an order that depends on seed and epoch alone."""
        exposure = self.exposure_jitter if self.augment else 0.0
        draw = Augmentation(self.crop_size, moves=self.augment, exposure=exposure, seed=self.seed)
        dataset = self._dataset("train", draw)
        trainer = self.trainer
        shares = (trainer.distributed_sampler_kwargs if trainer else None) or {
            "num_replicas": 1,
            "rank": 0,
        }
        sampler = DrawSampler(dataset, seed=self.seed, **shares)
        return ResumableLoader(
            dataset, sampler=sampler, batch_size=self.batch_size, **self._loading()
        )

    @override
    def val_dataloader(self) -> DataLoader[Any]:
        """Return whole validation images, one at a time."""
        return DataLoader(self._dataset("val"), **self._loading())

    @override
    def test_dataloader(self) -> DataLoader[Any]:
        """Return whole test images, one at a time."""
        return DataLoader(self._dataset("test"), **self._loading())

    @override
    def predict_dataloader(self) -> DataLoader[Any]:
        """Return the radiographs that --data.predict names, one at a time."""
        files = RadiographFiles(
            radiographs_in(self.predict_from),
            image_size=self.image_size,
            windowed=self.windowed,
            rule=self._rules.raw,
        )
        return DataLoader(files, **self._loading())

    def _dataset(self, split: Split, augmentation: Augmentation | None = None) -> Dataset[Any]:
        pairs = [pair for pair in self.pairs if pair.split == split]
        return PairDataset(
            self.root,
            pairs,
            image_size=self.image_size,
            windowed=self.windowed,
            augmentation=augmentation,
            cache=self._decoded,
            rules=self._rules,
        )

    def _loading(self) -> dict[str, Any]:
        return {
            "collate_fn": collate,
            "num_workers": self.num_workers,
            "persistent_workers": self.num_workers > 0,
            "pin_memory": torch.cuda.is_available(),
        }

    def _read_pairs(self) -> list[Pair]:
        if (self.root / MANIFEST).is_file():
            return read_manifest(self.root)
        return split_by_patient(find_pairs(self.root), val=self.val_fraction, seed=self.seed)

    def _refuse_empty(self, split: Split) -> None:
        if not any(pair.split == split for pair in self.pairs):
            raise DatasetError(
                f"{self.root} has no pair in split {split}; mark some of its {len(self.pairs)} "
                f"pairs so in {MANIFEST}"
            )


def radiographs_in(path: Path | None) -> Sequence[Path]:
    """Return the radiographs that a path names: itself, or all files below it, sorted.

    Raises:
        DatasetError: Nothing was named, or it is not there or empty.
    """
    if path is None:
        raise DatasetError(
            "predict needs --data.predict_from: a raw radiograph or a folder of them"
        )
    if path.is_file():
        return [path]
    files = sorted(
        file
        for file in path.rglob("*")
        if file.is_file()
        and may_be_radiograph(file)
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )
    if not files:
        raise DatasetError(f"--data.predict_from {path}: no such file, or no radiographs below it")
    return files
