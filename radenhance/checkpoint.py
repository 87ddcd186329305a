"""A checkpoint: the weights, and the settings without which they mean nothing.

It is one file with the same keys whatever memory technique or strategy trained it. Beside
Lightning's own books it holds what `ContrastEnhancer` and `RadiographDataModule` save of
themselves. The names of these keys are known here alone, for reading and for writing.

It may come from a stranger, so nothing in it is believed: `Checkpoint.open` is the one way in, for
every command and for Lightning, and it takes nine settings out of known lists and ranges (and two
of a coarse correction, where there is one), and weights that are numbers and fit the networks that
these settings describe. A model package (`radenhance.package_file`) comes in the same way, and is a
checkpoint that no run can go on from.

A network that trained for int8 has the ranges of its activations among its weights. Training goes
from float to int8 and back all the same: `Checkpoint.state_for` leaves ranges out, or fills them
in.
"""

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as shortened
from typing import Any, Literal, Self, get_args

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor
from typing_extensions import override

from radenhance.compat.torch import tensors_in
from radenhance.datamodule import FOLD, FOLD_PARAMETERS, PATIENTS, RadiographDataModule
from radenhance.dataset.outside_field import OutsideField
from radenhance.dataset.prediction import PredictAt
from radenhance.errors import ParameterError, UsageError
from radenhance.files import replace_file
from radenhance.loss.ms_ssim import NUM_SCALES, NumScales
from radenhance.memory.quantization.stages import QuantizationMode
from radenhance.memory.techniques import MemoryTechniques
from radenhance.network.unet import is_known_encoder, shapes_of
from radenhance.package_file import Package, is_package, read_package
from radenhance.torch_file import read_torch_file

STATE = "state_dict"
OF_MODEL = LightningModule.CHECKPOINT_HYPER_PARAMS_KEY
OF_DATA = LightningDataModule.CHECKPOINT_HYPER_PARAMS_KEY
DATA = RadiographDataModule.__qualname__
"""Where Lightning puts the state of the data module."""

MADE_WITH = "made_with"
"""Where the flags of the run are, as texts by their names."""
OPTIMIZER = "optimizer_name"
SCHEDULER = "lr_scheduler_name"

TECHNIQUES = ("momentum", "quantization")
"""Parameters of MemoryTechniques that change what the weights compute, and so belong to them."""

SETTINGS = {
    "model.encoder": (OF_MODEL, "encoder"),
    "model.num_scales": (OF_MODEL, "num_scales"),
    "model.output": (OF_MODEL, "output"),
    **{f"model.memory.{name}": (OF_MODEL, name) for name in TECHNIQUES},
    "data.image_size": (OF_DATA, "image_size"),
    "data.intensity_range": (OF_DATA, "intensity_range"),
    "data.outside_field": (OF_DATA, "outside_field"),
    "data.predict_at": (OF_DATA, "predict_at"),
}
"""Setting, by the name that recipes have for it -> where it is in a checkpoint."""

FORMER_NAMES = {"intensity_range": "window"}
"""Name in a checkpoint -> what checkpoints of the first version call it."""

OLDEST = {
    "model.memory.quantization": "none",
    "model.output": "image",
    "data.outside_field": "keep",
    "data.predict_at": "auto",
}
"""Settings that the oldest checkpoints do without."""

NOT_IN_OLDEST_PACKAGES = {"data.predict_at"}
"""Settings that the oldest model packages do without."""

COARSE = "coarse"
"""Where the settings of a coarse correction's network are; its weights' names begin so, too."""

RANGES = "unet.ranges."
"""What the names of a quantized network's ranges begin with."""

LIGHTNING = "pytorch-lightning_version"
OPTIMIZER_STATES = "optimizer_states"
CURRENT = "current_model_state"
"""Where Lightning puts the weights of the last step, if the checkpoint's own are averages."""

MOST_PIXELS = 2**16 - 1
"""A side of a DICOM image has no more."""


def _is_one_of(*texts: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in texts


def _is_between(least: int, most: int, text: str) -> Callable[[Any], bool]:
    return lambda value: (
        value == text if isinstance(value, str) else (type(value) is int and least <= value <= most)
    )


def _is_size(value: Any) -> bool:
    return type(value) is int and 1 <= value <= MOST_PIXELS


EXPECTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "model.encoder": (is_known_encoder, "an encoder of segmentation-models-pytorch or timm"),
    "model.num_scales": (_is_between(1, NUM_SCALES, "auto"), f"1 to {NUM_SCALES} or auto"),
    "model.memory.momentum": (
        lambda value: value is None or (isinstance(value, float) and 0 < value < 1),
        "a number between 0 and 1, or none",
    ),
    "model.memory.quantization": (_is_one_of(*get_args(QuantizationMode)), "none or qat"),
    "data.image_size": (_is_between(1, MOST_PIXELS, "native"), f"1 to {MOST_PIXELS} or native"),
    "data.intensity_range": (_is_one_of("auto", "declared"), "auto or declared"),
    "model.output": (_is_one_of("image", "correction"), "image or correction"),
    "data.outside_field": (_is_one_of(*get_args(OutsideField)), "black or keep"),
    "data.predict_at": (_is_one_of(*get_args(PredictAt)), "auto, native or training"),
}
"""Setting -> whether a value is one that it can have, and which these are."""


@dataclass(frozen=True)
class Checkpoint:
    """What training left behind.

    Args:
        content: The content of the file.
        name: The file, as messages name it.
    """

    content: Mapping[str, Any]
    name: str = "the checkpoint"

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Return the checkpoint in a file or in a model package, read and checked.

        Raises:
            UsageError: The file is not there, damaged, or not a checkpoint of radenhance.
        """
        path = Path(path)
        packed = is_package(path)
        content = _unpacked(read_package(path), path) if packed else read_torch_file(path)
        if not isinstance(content, Mapping):
            raise UsageError(f"{path} is not a checkpoint of radenhance: it holds no settings")
        checkpoint = cls(content, str(path))
        checkpoint._check_settings()
        checkpoint._check_weights()
        return checkpoint

    @property
    def flags(self) -> dict[str, Any]:
        """The settings that are there, by the names that recipes have for them."""
        found = dict(OLDEST)
        for name, (key, within) in SETTINGS.items():
            settings = self.content.get(key)
            for known in (FORMER_NAMES.get(within), within):
                if isinstance(settings, Mapping) and known in settings:
                    found[name] = settings[known]
        return found

    @property
    def made_with(self) -> dict[str, str]:
        """All that is known of the flags of its run, as texts; of an older one the settings."""
        kept = self.content.get(MADE_WITH)
        texts = kept.items() if isinstance(kept, Mapping) else ()
        found = {name: text for name, text in texts if isinstance(text, str)}
        return found | {name: str(value) for name, value in self.flags.items()}

    @property
    def encoder(self) -> str:
        """The name of the network's encoder."""
        encoder: str = self.flags["model.encoder"]
        return encoder

    @property
    def num_scales(self) -> NumScales:
        """Scales of the loss."""
        num_scales: NumScales = self.flags["model.num_scales"]
        return num_scales

    @property
    def output(self) -> Literal["image", "correction"]:
        """What the network gives."""
        output: Literal["image", "correction"] = self.flags["model.output"]
        return output

    @property
    def coarse(self) -> dict[str, Any] | None:
        """Encoder and image size of the coarse correction that the network begins with, if any."""
        coarse: dict[str, Any] | None = self.content[OF_MODEL].get(COARSE)
        return coarse

    def packed(self) -> dict[str, Any]:
        """Return what a model package holds beside the weights to be this checkpoint again."""
        flags = self.flags
        return {
            "settings": {name: flags[name] for name in SETTINGS},
            COARSE: self.coarse,
            "lightning_version": self.content[LIGHTNING],
        }

    def as_coarse(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return a network on reduced images: the coarse one that is in the checkpoint, or its own.

        Returns:
            Its encoder and image size, and its weights, as `CoarseCorrection` takes them.

        Raises:
            ParameterError: The checkpoint is of a network that gives no coarse correction.
        """
        prefix = f"{COARSE}."
        settings, state = self.coarse, self.content[STATE]
        if settings is not None:
            own = {name: tensor for name, tensor in state.items() if name.startswith(prefix)}
            return settings, {name.removeprefix(prefix): tensor for name, tensor in own.items()}
        size = self.flags["data.image_size"]
        if self.output != "correction" or size == "native" or self.memory.changes_function:
            raise ParameterError(
                "ContrastEnhancer.coarse",
                got=self.name,
                expected="a checkpoint of output correction and an image_size in pixels, without "
                "momentum and quantization",
                remedy=f"its output is {self.output}, image_size {size}, momentum "
                f"{self.memory.momentum} and quantization {self.memory.quantization}",
            )
        return {"encoder": self.encoder, "image_size": size}, dict(state)

    @property
    def memory(self) -> MemoryTechniques:
        """The techniques that change what the weights compute, and no other."""
        return MemoryTechniques(**{name: self.flags[f"model.memory.{name}"] for name in TECHNIQUES})

    @property
    def input(self) -> dict[str, Any]:
        """Parameters of the RadiographDataModule that give images as the network saw them."""
        names = [name for name in SETTINGS if name.startswith("data.")]
        return {name.removeprefix("data."): self.flags[name] for name in names}

    @property
    def fold(self) -> dict[str, Any] | None:
        """What the data module noted of the fold of a cross-validation, None where it had none."""
        state = self.content.get(DATA)
        fold: dict[str, Any] | None = state.get(FOLD) if isinstance(state, Mapping) else None
        return fold

    @property
    def optimizer(self) -> str | None:
        """The class of the optimizer whose state is there, where it is known."""
        return self.content.get(OPTIMIZER)

    @property
    def num_bytes(self) -> int:
        """Bytes of the weights and buffers."""
        return sum(tensor.nbytes for tensor in self.content[STATE].values())

    def state_for(self, own: Mapping[str, Tensor], encoder: str) -> dict[str, Tensor]:
        """Return the weights as a network takes them.

        Ranges of activations that the network does not have are left out, and those that it has and
        the checkpoint does not are its own.

        Args:
            own: The network's weights now.
            encoder: The name of its encoder.

        Raises:
            UsageError: The weights are those of another network.
        """
        theirs: Mapping[str, Tensor] = self.content[STATE]
        state = {name: tensor for name, tensor in theirs.items() if not name.startswith(RANGES)}
        ranges = [name for name in own if name.startswith(RANGES)]
        state |= {name: theirs.get(name, own[name]) for name in ranges}
        if _shapes(state) != _shapes(own):
            made_with = self.flags.get("model.encoder", "another network")
            raise UsageError(
                f"{self.name} was made with ContrastEnhancer.encoder {made_with} and does not fit "
                f"{encoder}; leave that parameter out to take the checkpoint's"
            )
        return state

    def _check_settings(self) -> None:
        missing = [name for name in SETTINGS if name not in self.flags]
        if missing or not isinstance(self.content.get(STATE), Mapping):
            raise self._refused(f"it lacks {', '.join(missing) or 'weights'}")
        for name, (is_right, expected) in EXPECTED.items():
            if not is_right(self.flags[name]):
                got = shortened(self.flags[name])
                raise self._refused(f"its {name} is {got}, expected {expected}")
        version = self.content.get(LIGHTNING)
        if not isinstance(version, str) or not re.fullmatch(r"[2-9]\.\d+\.\d+[.\w]{,20}", version):
            raise self._refused("the version of Lightning in it is not one of ours")
        optimizer = self.optimizer
        if optimizer is not None and not (isinstance(optimizer, str) and optimizer.isidentifier()):
            raise self._refused("its optimizer has no name")
        _ = self.memory  # refuses two techniques that exclude each other
        self._check_coarse()
        self._check_fold()

    def _check_coarse(self) -> None:
        coarse: Any = self.content[OF_MODEL].get(COARSE)
        if coarse is None:
            return
        right = isinstance(coarse, Mapping) and coarse.keys() == {"encoder", "image_size"}
        if not (right and is_known_encoder(coarse["encoder"]) and _is_size(coarse["image_size"])):
            raise self._refused(f"its model.coarse is {shortened(coarse)}")

    def _check_fold(self) -> None:
        fold: Any = self.fold
        if fold is None:
            return
        right = (
            isinstance(fold, Mapping)
            and fold.keys() == {*FOLD_PARAMETERS, PATIENTS}
            and all(type(fold[name]) is int for name in FOLD_PARAMETERS)
            and 1 <= fold["fold"] <= fold["num_folds"] != 1
            and re.fullmatch("[0-9a-f]{64}", str(fold[PATIENTS]))
        )
        if not right:
            raise self._refused(f"its fold is {shortened(fold)}")

    def _check_weights(self) -> None:
        state = self.content[STATE]
        if not all(isinstance(tensor, Tensor) for tensor in state.values()):
            raise self._refused("not all of its weights are numbers")
        own = {name: tensor for name, tensor in state.items() if not name.startswith(RANGES)}
        expected = self._expected_shapes()
        if expected is not None and _shapes(own) != expected:
            raise self._refused(f"its weights are not those of its encoder {self.encoder}")
        wrong = [name for name, tensor in own.items() if not tensor.isfinite().all()]
        ranges = [tensor for name, tensor in state.items() if name not in own]
        others = [ranges, self.content.get(OPTIMIZER_STATES), self.content.get(CURRENT)]
        if wrong or any(tensor.isnan().any() for tensor in tensors_in(others)):
            where = wrong[0] if wrong else "what it counts or averages"
            raise UsageError(
                f"{self.name} holds numbers that are infinite or not a number ({where}); give a "
                f"checkpoint from before its training went wrong"
            )

    def _expected_shapes(self) -> dict[str, torch.Size] | None:
        expected = shapes_of(self.encoder)
        if self.coarse is None or expected is None:
            return expected
        coarse = shapes_of(self.coarse["encoder"])
        return coarse and expected | {f"{COARSE}.{name}": shape for name, shape in coarse.items()}

    def _refused(self, why: str) -> UsageError:
        return UsageError(f"{self.name} is not a checkpoint of radenhance: {why}")


def note_setting(path: str | Path, name: str, value: str) -> None:
    """Put a setting into the file of a checkpoint, which is written anew.

    Args:
        path: The checkpoint.
        name: The setting, one of SETTINGS.
        value: What it becomes.

    Raises:
        UsageError: The file is a model package, or no checkpoint.
        RadenhanceError: The file cannot be written.
    """
    if is_package(Path(path)):
        raise UsageError(
            f"{path} is a model package, whose parts have checksums; note it in the checkpoint, "
            f"and pack that again"
        )
    content = dict(Checkpoint.open(path).content)
    key, within = SETTINGS[name]
    content[key] = {**content[key], within: value}
    Checkpoint(content, str(path))._check_settings()
    WholeFileCheckpointIO().save_checkpoint(content, path)


class WholeFileCheckpointIO(TorchCheckpointIO):
    """Writes, reads and removes checkpoints for Lightning.

    Lightning writes one into the system's temporary folder and moves it. Where that is another file
    system the move is a copy, and a full disk or a kill leaves half a file in place of the good
    one. Ours is written beside the file to be replaced, and then takes its place.

    Lightning believes what it reads, and removes a folder with all that is in it. Ours is checked,
    and a file.
    """

    @override
    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Save to `path`, or leave what stood there.

        Raises:
            RadenhanceError: The disk is full, or the folder cannot be written to.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        replace_file(path, buffer.getbuffer())

    @override
    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Return the content of a file as `Checkpoint.open` does, tensors on the CPU.

        Raises:
            UsageError: The file is not there, damaged, or not a checkpoint of radenhance.
        """
        return dict(Checkpoint.open(Path(path)).content)

    @override
    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a file; a folder stays, as none of ours is one."""
        if not Path(path).is_dir():
            Path(path).unlink(missing_ok=True)


def _unpacked(package: Package, path: Path) -> dict[str, Any]:
    """Return what a package holds by the names that a checkpoint has for it, unchecked."""
    settings = package.section["settings"]
    asked = SETTINGS.keys() - NOT_IN_OLDEST_PACKAGES
    if not isinstance(settings, Mapping) or not asked <= settings.keys() <= SETTINGS.keys():
        raise UsageError(f"{path} is not a model package of radenhance: its settings are others")
    content: dict[str, Any] = {
        STATE: package.state,
        LIGHTNING: package.section["lightning_version"],
        OF_MODEL: {COARSE: package.section[COARSE]},
        OF_DATA: {},
    }
    for name, value in settings.items():
        key, within = SETTINGS[name]
        content[key][within] = value
    return content


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}
