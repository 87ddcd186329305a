"""A checkpoint: the weights, and the six settings without which they mean nothing.

It is one file with the same keys whatever memory technique or strategy trained it. Beside
Lightning's own books it holds what `ContrastEnhancer` and `RadiographDataModule` save of
themselves. The names of these keys are known here alone, for reading and for writing.

A network that trained for int8 has the ranges of its activations among its weights. Training goes
from float to int8 and back all the same: `Checkpoint.state_for` leaves ranges out, or fills them
in.
"""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal, Self

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor
from typing_extensions import override

from radenhance.errors import UsageError
from radenhance.files import replace_file
from radenhance.loss.ms_ssim import NumScales
from radenhance.memory.techniques import MemoryTechniques

STATE = "state_dict"
OF_MODEL = LightningModule.CHECKPOINT_HYPER_PARAMS_KEY
OF_DATA = LightningDataModule.CHECKPOINT_HYPER_PARAMS_KEY
OPTIMIZER = "optimizer_name"

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
}
"""Setting, by the name that recipes have for it -> where it is in a checkpoint."""

FORMER_NAMES = {"intensity_range": "window"}
"""Name in a checkpoint -> what checkpoints of the first version call it."""

OLDEST = {
    "model.memory.quantization": "none",
    "model.output": "image",
    "data.outside_field": "keep",
}
"""Settings that the oldest checkpoints do without."""

RANGES = "unet.ranges."
"""What the names of a quantized network's ranges begin with."""


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
    def open(cls, path: Path) -> Self:
        """Return the checkpoint in a file; its tensors are read when they are used.

        Raises:
            UsageError: The file is not there, damaged, or not a checkpoint of radenhance.
        """
        checkpoint = cls(_content_of(path), str(path))
        missing = [name for name in SETTINGS if name not in checkpoint.flags]
        if missing or not isinstance(checkpoint.content.get(STATE), Mapping):
            what = ", ".join(missing) or "weights"
            raise UsageError(f"{path} is not a checkpoint of radenhance: it lacks {what}")
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
    def memory(self) -> MemoryTechniques:
        """The techniques that change what the weights compute, and no other."""
        return MemoryTechniques(**{name: self.flags[f"model.memory.{name}"] for name in TECHNIQUES})

    @property
    def input(self) -> dict[str, Any]:
        """Parameters of the RadiographDataModule that give images as the network saw them."""
        names = [name for name in SETTINGS if name.startswith("data.")]
        return {name.removeprefix("data."): self.flags[name] for name in names}

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


class WholeFileCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside the file to be replaced, and then takes its place.

    Lightning writes it into the system's temporary folder and moves it. Where that is another file
    system the move is a copy, and a full disk or a kill leaves half a file in place of the good
    one.
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


def _content_of(path: Path) -> Mapping[str, Any]:
    try:
        if not zipfile.is_zipfile(path):
            what = "is not a checkpoint, or only a part of one" if path.is_file() else "is no file"
            raise UsageError(f"{path} {what}; give a file that `radenhance fit` wrote")
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except UnpicklingError as error:
        raise UsageError(
            f"{path} is not a checkpoint of radenhance: it holds more than weights and settings"
        ) from error
    except (RuntimeError, EOFError, LookupError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is damaged; give another checkpoint") from error
    if not isinstance(content, Mapping):
        raise UsageError(f"{path} is not a checkpoint of radenhance: it holds no settings")
    return content


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}
