"""A dataset folder as Lightning's loaders.

Everything that a seed decides (split, order, augmentation) is decided here, so that one process or
several, with or without workers, resumed or not, see the same images in the same order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch.utils.data import DataLoader
from typing_extensions import override

from radenhance.dataset.cache import Cache, open_cache
from radenhance.dataset.decoded import ImageSize
from radenhance.dataset.description import DESCRIPTION, Declarations, load_declarations
from radenhance.dataset.loader import DrawSampler, EachOnceSampler, ResumableLoader
from radenhance.dataset.manifest import (
    MANIFEST,
    Pair,
    Split,
    case_names,
    find_pairs,
    fingerprint,
    listed_pairs,
    may_be_radiograph,
    read_manifest,
)
from radenhance.dataset.outside_field import OutsideField
from radenhance.dataset.pairs import (
    Augmentation,
    PairDataset,
    collate,
    rule_outside,
)
from radenhance.dataset.prediction import PredictAt, RadiographFiles
from radenhance.dataset.split import split_by_fold, split_by_patient, validating_sha256
from radenhance.errors import DatasetError, ParameterError, UsageError
from radenhance.folders import entries_below, why_no_file
from radenhance.prepare.passed_over import (
    Failure,
    PassingLoader,
    PassingOver,
    collate_or_pass,
    failure_of_file,
)
from radenhance.prepare.synthesize import synthesize

FINGERPRINT = "fingerprint"
FOLD = "fold"
"""Key of a data module's state: the parameters of FOLD_PARAMETERS, and PATIENTS."""

FOLD_PARAMETERS = ("num_folds", "fold", "fold_seed")
PATIENTS = "patients"
"""Key of a hash of the patients that validate."""

DEFAULT_ROOT = Path("data/synthetic")
SPLITS_OF: dict[str, tuple[Split, ...]] = {
    "fit": ("train", "val"),
    "validate": ("val",),
    "test": ("test",),
    "evaluate": (),
}
"""Stage -> splits that it needs; the last is none of Lightning's, and asks for its split itself."""


class RadiographDataModule(LightningDataModule):
    """Pairs of raw and target radiographs from a folder.

    The folder holds raw/ and target/ with files of the same name (DICOM, PNG, TIFF or NPY). It may
    hold pairs.csv, which lists the pairs with species, patient and split, and dataset.yaml, which
    declares what the files themselves do not (both are written by `radenhance prepare`).

    Args:
        root: The dataset folder. By default it is data/synthetic, where 60 synthetic radiographs
            are made if it does not exist.
        image_size: Shorter side of the images in pixels, with proportions kept; or native for
            images that are not resampled.
        intensity_range: The range of raw values that becomes 0 to 1 in the network's input: auto
            takes that between the 0.1 and 99.9 percentiles inside the collimator, which removes the
            influence of exposure and vendor; declared takes the full scale of the declared bits.
        outside_field: What is made of the area behind the collimator, in the network's input and
            output: black; keep, which leaves it as it is; or auto, which is black where the targets
            are black there, as dataset.yaml says or, if it says nothing, some pairs show.
        crop_size: Side of the square that is cropped at random in training, in pixels. By default
            it is image_size, and native images are not cropped.
        batch_size: Number of images per training step; must be 1 if images of different sizes are
            not cropped. Validation takes whole images, one at a time.
        val_fraction: Fraction of each species' radiographs that is used for validation, in [0, 1);
            patients are never divided. It is ignored if pairs.csv lists the splits, and with folds.
        num_folds: Number of folds of a cross-validation, at least 2. All patients but those of a
            test split are divided into as many folds, each with its share of every species,
            whether pairs.csv has them train or validate. By default (null) there are none.
        fold: The fold whose patients validate, from 1; those of all others train.
        fold_seed: Seed of the division into folds, apart from that of all else.
        augment: Whether training draws symmetries of the square, rotations by up to 7 degrees,
            scales by up to 5 % and shifts by up to 3 %.
        exposure_jitter: Largest random change of exposure in training, in powers of two; applied to
            raw images that are linear in intensity, and only with augment.
        dose_jitter: Largest random division of the dose in training, in powers of two, 0 to 6; 2
            goes down to a quarter. Adds the noise of as many fewer quanta to raw images that are
            linear in intensity, and only with augment; needs full_scale_quanta. 0 for none.
        full_scale_quanta: Quanta that a pixel of the files counts where its intensity is the
            largest that the bits hold, of the detector of this dataset; for dose_jitter.
        cache: Whether to keep decoded files, so that each is decoded only once: in root/.cache or,
            if that is not writable, in the user's cache folder; or the folder to keep them in. It
            may be removed at any time.
        num_workers: Number of processes that load images; 0 loads them in the training process.
        predict_from: A raw radiograph, or a folder of them, for `radenhance predict`. What they do
            not declare themselves is taken from dataset.yaml in root.
        predict_at: Size at which the network sees a radiograph to predict: native, that of the
            file; training, that of training, where its correction is enlarged and added to the
            file's pixels; or auto, which is training for radiographs of more than 1.5 times that
            size. The result has the file's rows and columns in any case.
        seed: Seed of the split, the order and the augmentation.
        log_names: Whether logs, pictures and the saved configuration name files and folders, which
            may be named after patients. By default cases are counted as pairs.csv lists them, and
            folders are left out.

    Raises:
        ParameterError: A size or a number is too small.
    """

    def __init__(  # noqa: PLR0913
        self,
        root: Path | None = None,
        image_size: ImageSize = 512,
        intensity_range: Literal["auto", "declared"] = "auto",
        outside_field: OutsideField | Literal["auto"] = "auto",
        crop_size: int | None = None,
        batch_size: int = 1,
        val_fraction: float = 0.2,
        num_folds: int | None = None,
        fold: int | None = None,
        fold_seed: int = 0,
        augment: bool = True,
        exposure_jitter: float = 0.25,
        dose_jitter: float = 0.0,
        full_scale_quanta: float | None = None,
        cache: bool | Path = True,
        num_workers: int = 2,
        predict_from: Path | None = None,
        predict_at: PredictAt = "auto",
        seed: int = 0,
        log_names: bool = False,
    ) -> None:
        super().__init__()
        _check_at_least("image_size", image_size, 1)
        _check_at_least("crop_size", crop_size, 1)
        _check_at_least("batch_size", batch_size, 1)
        _check_at_least("num_workers", num_workers, 0)
        _check_fold(num_folds, fold)
        _check_dose(dose_jitter, full_scale_quanta)
        # what a checkpoint expects of its input
        self.save_hyperparameters("image_size", "intensity_range", "outside_field", "predict_at")
        self.root = DEFAULT_ROOT if root is None else root
        self._makes_its_own = root is None
        self.image_size = image_size
        self.auto_range = intensity_range == "auto"
        self.crop_size = crop_size if crop_size or image_size == "native" else image_size
        self.batch_size = batch_size
        self.val_fraction = val_fraction
        self.num_folds = num_folds
        self.fold = fold
        self.fold_seed = fold_seed
        self.augment = augment
        self.exposure_jitter = exposure_jitter
        self.dose_jitter = dose_jitter
        self.full_scale_quanta = full_scale_quanta or 0.0
        self.cache = cache
        self.num_workers = num_workers
        self.predict_from = predict_from
        self.predict_at = predict_at
        self.log_names = log_names
        self.seed = seed
        self.outside_field = outside_field
        self.pairs: list[Pair] = []
        self._cases: dict[Pair, str] = {}
        self._declarations = Declarations()
        self.passed_over: list[Failure] = []
        """Radiographs to predict that could not be read, by this process."""
        self._decoded: Cache | None = None
        self._fingerprint = ""

    @override
    def prepare_data(self) -> None:
        """Make the default dataset if no other was named and it does not exist."""
        predicts = self.trainer is not None and self.trainer.state.fn == "predict"
        if self._makes_its_own and not predicts and not self.root.exists():
            synthesize(self.root)

    @override
    def setup(self, stage: str) -> None:
        """Read the manifest, and check that it has the splits of a stage.

        Args:
            stage: fit, validate, test, predict, or evaluate, which needs no split yet.

        Raises:
            DatasetError: There is no dataset, a split that the stage needs is empty, or there are
                fewer patients than folds.
            ParameterError: val_fraction or cache has a wrong value.
        """
        self._declarations = load_declarations(self.root)
        if stage == "predict":
            return
        if not self.root.is_dir():
            raise DatasetError(f"RadiographDataModule.root {self.root}: no such folder")
        self.pairs = self._read_pairs()
        self._cases = self._named_cases()
        for split in SPLITS_OF[stage]:
            self._check_not_empty(split)
        self._decoded = open_cache(self.root, self.cache)
        self._fingerprint = fingerprint(self.root, self.pairs)
        if self.outside_field == "auto":
            # what a checkpoint holds is what was found here
            self.hparams["outside_field"] = self.outside_field = self._rule_outside()

    @override
    def state_dict(self) -> dict[str, Any]:
        """Return what tells this data from other data, and the fold where there is one."""
        state: dict[str, Any] = {FINGERPRINT: self._fingerprint}
        if self.num_folds is not None:
            parameters = {name: getattr(self, name) for name in FOLD_PARAMETERS}
            state[FOLD] = parameters | {PATIENTS: validating_sha256(self.pairs)}
        return state

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Say when a fit goes on with other data than it began with.

        Raises:
            UsageError: It would go on with another fold.
        """
        command = None if self.trainer is None else self.trainer.state.fn
        theirs, ours = state_dict.get(FOLD), self.state_dict().get(FOLD)
        if command == "fit" and theirs != ours:
            raise UsageError(
                f"the checkpoint is of {_said(theirs)}, and this run of {_said(ours)}: patients "
                f"that trained would validate; go on as the checkpoint began, or start anew"
            )
        if command == "validate" and theirs is not None and ours not in (None, theirs):
            rank_zero_warn(_may_have_trained(theirs))
        if command == "fit" and state_dict.get(FINGERPRINT, self._fingerprint) != self._fingerprint:
            rank_zero_warn(
                f"The radiographs in {self.root}, their splits or {DESCRIPTION} have changed since "
                f"the checkpoint was written: the run goes on with what is there now"
            )

    @override
    def train_dataloader(self) -> ResumableLoader:
        """Return augmented draws in an order that depends on seed and epoch alone."""
        exposure = self.exposure_jitter if self.augment else 0.0
        draw = Augmentation(
            self.crop_size,
            moves=self.augment,
            exposure=exposure,
            dose=self.dose_jitter if self.augment else 0.0,
            full_scale_quanta=self.full_scale_quanta,
            seed=self.seed,
        )
        dataset = self._dataset("train", draw)
        sampler = DrawSampler(dataset, seed=self.seed, **self._replicas())
        return ResumableLoader(
            dataset, sampler=sampler, batch_size=self.batch_size, **self._loader_options()
        )

    @override
    def val_dataloader(self) -> DataLoader[Any]:
        """Return whole validation images, one at a time."""
        return DataLoader(self._dataset("val"), **self._loader_options())

    @override
    def test_dataloader(self) -> DataLoader[Any]:
        """Return whole test images, one at a time."""
        return DataLoader(self._dataset("test"), **self._loader_options())

    @override
    def predict_dataloader(self) -> DataLoader[Any]:
        """Return the radiographs of `predict_from`, one at a time, without what cannot be read."""
        paths = radiographs_in(self.predict_from)
        files = RadiographFiles(
            paths,
            image_size=self.image_size,
            at=self.predict_at,
            auto_range=self.auto_range,
            declaration=self._declarations.raw,
            black_outside=self.outside_field == "black",
            cases=[str(path) for path in paths] if self.log_names else None,
        )
        # a process may have no file, if there are fewer files than processes
        self.allow_zero_length_dataloader_with_multiple_devices = True
        sampler = EachOnceSampler(files, **self._replicas())
        options = self._loader_options() | {"collate_fn": collate_or_pass}
        passing = PassingOver(files, failure_of_file)
        self.passed_over = passing.failures
        return PassingLoader(passing, sampler=sampler, **options)

    def _replicas(self) -> dict[str, Any]:
        """Return how many processes share the images, and which of them this is."""
        trainer = self.trainer
        replicas = trainer.distributed_sampler_kwargs if trainer else None
        return replicas or {"num_replicas": 1, "rank": 0}

    def whole_images(self, split: Split) -> PairDataset:
        """Return the pairs of a split as they are: whole, in order, without augmentation.

        Raises:
            DatasetError: It has none.
        """
        self._check_not_empty(split)
        return self._dataset(split)

    def _dataset(self, split: Split, augmentation: Augmentation | None = None) -> PairDataset:
        pairs = [pair for pair in self.pairs if pair.split == split]
        return PairDataset(
            self.root,
            pairs,
            image_size=self.image_size,
            auto_range=self.auto_range,
            augmentation=augmentation,
            cache=self._decoded,
            declarations=self._declarations,
            black_outside=self.outside_field == "black",
            cases=[self._cases[pair] for pair in pairs],
        )

    def _rule_outside(self) -> OutsideField:
        declared = self._declarations.outside_field
        if declared is not None or not self.pairs:
            return declared or "keep"
        return rule_outside(self._dataset(self.pairs[0].split)) or "keep"

    def _named_cases(self) -> dict[Pair, str]:
        """Return what to call each pair in all that is logged or drawn."""
        if self.log_names:
            return {pair: pair.raw_path for pair in self.pairs}
        has_manifest = (self.root / MANIFEST).is_file()
        listed = listed_pairs(self.root) if has_manifest else self.pairs
        # a fold has another split than its line
        cases, lines = (
            [replace(pair, split="train") for pair in of] for of in (self.pairs, listed)
        )
        return dict(zip(self.pairs, case_names(cases, lines), strict=True))

    def _loader_options(self) -> dict[str, Any]:
        return {
            "collate_fn": collate,
            "num_workers": self.num_workers,
            "persistent_workers": self.num_workers > 0,
            "pin_memory": torch.cuda.is_available(),
        }

    def _read_pairs(self) -> list[Pair]:
        listed = (self.root / MANIFEST).is_file()
        pairs = read_manifest(self.root) if listed else find_pairs(self.root)
        if self.num_folds is not None and self.fold is not None:
            seed = self.fold_seed
            return split_by_fold(pairs, num_folds=self.num_folds, fold=self.fold, seed=seed)
        return pairs if listed else split_by_patient(pairs, val=self.val_fraction, seed=self.seed)

    def _check_not_empty(self, split: Split) -> None:
        if not any(pair.split == split for pair in self.pairs):
            raise DatasetError(
                f"{self.root} has no pair in split {split}; mark some of its {len(self.pairs)} "
                f"pairs so in {MANIFEST}"
            )


def same_fold(root: Path, fold: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the parameters that let the patients of a checkpoint's fold validate.

    There are none where the checkpoint is of no fold; nor where the patients are others, which is
    said.

    Args:
        root: The dataset folder.
        fold: What the checkpoint notes of its fold.
    """
    if fold is None:
        return {}
    parameters = {name: fold[name] for name in FOLD_PARAMETERS}
    try:
        pairs = RadiographDataModule(root, **parameters)._read_pairs()
    except DatasetError:  # which is said where the dataset is used, unless that is of few patients
        pairs = []
    if validating_sha256(pairs) == fold[PATIENTS]:
        return parameters
    rank_zero_info(_may_have_trained(fold))
    return {}


def _said(fold: Mapping[str, Any] | None) -> str:
    if fold is None:
        return "no fold"
    return (
        f"fold {fold['fold']} of {fold['num_folds']} (RadiographDataModule.fold_seed "
        f"{fold['fold_seed']}, patients {fold[PATIENTS][:8]})"
    )


def _may_have_trained(fold: Mapping[str, Any]) -> str:
    return (
        f"The radiographs to measure are not those of {_said(fold)}, of which the checkpoint is: "
        f"unless this is another dataset, it has trained on some of them"
    )


def radiographs_in(path: Path | None) -> Sequence[Path]:
    """Return the radiographs that a path names: itself, or all files below it, sorted.

    Args:
        path: A file or a folder; None names nothing.

    Raises:
        DatasetError: Nothing was named, or it does not exist, holds no radiographs, or holds what
            cannot be searched.
    """
    if path is None:
        raise DatasetError(
            "predict needs RadiographDataModule.predict_from: a raw radiograph or a folder of them"
        )
    if path.is_file():
        return [path]
    if path.exists() and not path.is_dir():
        raise DatasetError(f"RadiographDataModule.predict_from {path} {why_no_file(path)}")
    entries = list(entries_below(path)) if path.exists() else []
    for entry in entries:
        if entry.problem and entry.path.is_dir() and may_be_radiograph(entry.path):
            raise DatasetError(f"{entry.path} {entry.problem}, or leave it out")
    files = sorted(entry.path for entry in entries if may_be_radiograph(entry.path))
    if not files:
        raise DatasetError(
            f"RadiographDataModule.predict_from {path}: no such file, or no radiographs below it"
        )
    return files


def _check_at_least(name: str, value: int | str | None, least: int) -> None:
    if isinstance(value, int) and value < least:
        expected = f"native or at least {least}" if name == "image_size" else f"at least {least}"
        raise ParameterError(f"RadiographDataModule.{name}", got=value, expected=expected)


def _check_fold(num_folds: int | None, fold: int | None) -> None:
    if num_folds is None and fold is not None:
        raise ParameterError(
            "RadiographDataModule.num_folds",
            got=None,
            expected=f"a number of folds, as RadiographDataModule.fold is {fold}",
        )
    _check_at_least("num_folds", num_folds, 2)
    if num_folds is not None and (fold is None or not 1 <= fold <= num_folds):
        raise ParameterError(
            "RadiographDataModule.fold",
            got=fold,
            expected=f"the fold that validates, 1 to {num_folds}",
        )


def _check_dose(jitter: float, quanta: float | None) -> None:
    if not 0 <= jitter <= 6:
        raise ParameterError(
            "RadiographDataModule.dose_jitter", got=jitter, expected="a number from 0 to 6"
        )
    if quanta is not None and not 0 < quanta < float("inf") or (jitter and quanta is None):
        raise ParameterError(
            "RadiographDataModule.full_scale_quanta",
            got=quanta,
            expected="a number above 0, as RadiographDataModule.dose_jitter adds the noise of "
            "fewer quanta than that",
        )
