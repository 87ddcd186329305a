"""What enhances one radiograph: a trained network, or the conventional enhancer.

A network that runs out of memory goes down a ladder: the whole image on the GPU, the image in bands
there, the image in bands on the CPU. All of them compute the same function. What was too much for
an image is not tried again for one of that size or larger.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from radenhance import __version__
from radenhance.arrays import Image
from radenhance.checkpoint import Checkpoint
from radenhance.dataset.decoded import Decoded, decoded
from radenhance.dataset.normalize import normalize
from radenhance.dataset.pairs import collate
from radenhance.dataset.prediction import MIN_SIDE, REDUCED, PredictAt, prediction_input
from radenhance.dicom.radiograph import Radiograph
from radenhance.enhancer import Batch, ContrastEnhancer
from radenhance.errors import ImageSizeError, MachineError, ParameterError, RadenhanceError
from radenhance.package_file import model_sha256
from radenhance.reference_enhancer.enhance import enhance as reference_enhance
from radenhance.reference_enhancer.presets import ALGORITHM, AUTO, PRESETS, preset_for

SYMMETRIES = [(quarters, mirrored) for mirrored in (False, True) for quarters in range(4)]
"""Quarter turns, and whether mirrored before: those of a square. The first changes nothing."""

_log = logging.getLogger(__name__)


class Enhancer(Protocol):
    """Enhances one radiograph."""

    name: str
    """What it is, in a word or two, as for a caption."""
    description: str
    """What it is, so that somebody else can do the same; printable ASCII on one line."""

    def describe(self, radiograph: Radiograph) -> str:
        """Return the description of what it does to one radiograph."""

    def __call__(self, radiograph: Radiograph) -> Image:
        """Return the enhanced pixels, float32 in [0, 1], of the radiograph's rows and columns.

        Raises:
            RadenhanceError: The radiograph is not one that can be enhanced, or memory ran out.
        """


class ReferenceEnhancer:
    """The conventional enhancer.

    Args:
        preset: A name of PRESETS; auto chooses one by species and body part.

    Raises:
        ParameterError: There is no preset of that name.
    """

    def __init__(self, preset: str = AUTO) -> None:
        if preset not in (AUTO, *PRESETS):
            raise ParameterError(
                "preset", got=preset, expected=f"one of {', '.join((AUTO, *PRESETS))}"
            )
        self.preset = preset
        self.name = preset
        self.description = (
            f"Contrast enhanced by the reference enhancer {ALGORITHM} of radenhance {__version__}, "
            f"preset {preset}"
        )

    def preset_of(self, radiograph: Radiograph) -> str:
        """Return the name of the preset for one radiograph."""
        header = radiograph.header
        if self.preset != AUTO:
            return self.preset
        return preset_for(header.species, header.body_part)

    def describe(self, radiograph: Radiograph) -> str:
        """Return the description, with the preset that was chosen."""
        chosen = f" ({self.preset_of(radiograph)})" if self.preset == AUTO else ""
        return self.description + chosen

    def __call__(self, radiograph: Radiograph) -> Image:
        """Return the enhanced pixels."""
        return reference_enhance(
            normalize(radiograph),
            valid=radiograph.valid,
            spacing_mm=radiograph.spacing_mm,
            preset=self.preset_of(radiograph),
        )


@dataclass(frozen=True)
class Rung:
    """A way to run a network.

    Args:
        device: Where.
        in_bands: Whether in bands of rows, or whole images at once.
    """

    device: torch.device
    in_bands: bool

    def __str__(self) -> str:
        """Return what to call it in a sentence."""
        where = "the CPU" if self.device.type == "cpu" else "the GPU"
        return f"{'in bands' if self.in_bands else 'whole'} on {where}"


class NetworkEnhancer:
    """A trained network.

    Args:
        checkpoint: Its weights and settings.
        sha256: SHA-256 of the file that it came from, of a package of its weights, in hex.
        at: The size at which it sees a radiograph; auto is what the checkpoint says.
        device: Where to begin; the GPU when None, where there is one.
        symmetric: Whether to take the mean over the eight mirrored and turned images, which the
            network sees one after the other, for eight times the time.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        sha256: str,
        at: PredictAt = "auto",
        device: str | None = None,
        symmetric: bool = False,
    ) -> None:
        self.network = ContrastEnhancer.from_checkpoint(checkpoint).eval()
        self._memory = self.network.memory
        self.input = checkpoint.input
        self.at: PredictAt = self.input["predict_at"] if at == "auto" else at
        self.fold = checkpoint.fold
        self.sha256 = sha256
        self.symmetries = SYMMETRIES if symmetric else SYMMETRIES[:1]
        self.name = "network"
        self.description = _described(checkpoint, sha256, symmetric=symmetric)
        self.rungs = list(_ladder(_device(device)))
        self._too_large: dict[Rung, int] = {}

    def __call__(self, radiograph: Radiograph) -> Image:
        """Return the enhanced pixels."""
        return self.enhance(self.batch_of(radiograph))

    def describe(self, radiograph: Radiograph) -> str:
        """Return the description."""
        return self.description

    def batch_of(self, radiograph: Radiograph) -> Batch:
        """Return what the network takes of a radiograph.

        Raises:
            ImageSizeError: The radiograph is smaller than the network takes.
        """
        if min(radiograph.shape) < MIN_SIDE:
            raise ImageSizeError(
                f"{radiograph.path}: the image has {radiograph.shape} rows and columns, expected "
                f"{MIN_SIDE} or more of each"
            )
        return self.batch_of_decoded(decoded(radiograph))

    def batch_of_decoded(self, raw: Decoded) -> Batch:
        """Return what the network takes of a radiograph that was decoded, and perhaps reduced."""
        sample = prediction_input(
            raw,
            image_size=self.input["image_size"],
            at=self.at,
            auto_range=self.input["intensity_range"] == "auto",
            black_outside=self.input["outside_field"] == "black",
        )
        return collate([sample])

    def enhance(self, batch: Batch) -> Image:
        """Return the enhanced pixels of what `batch_of` returned.

        Raises:
            MachineError: Memory ran out on each rung.
        """
        num_pixels = (batch[REDUCED] if REDUCED in batch else batch["raw"]).numel()
        for rung in self.rungs:
            if num_pixels >= self._too_large.get(rung, num_pixels + 1):
                continue
            try:
                return self._run(batch, rung)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
            self._too_large[rung] = num_pixels
            _log.warning("memory is too small for %d pixels %s", num_pixels, rung)
            if rung.device.type == "cuda":
                torch.cuda.empty_cache()
        raise MachineError(
            f"memory ran out for {num_pixels} pixels {self.rungs[-1]}; close other programs, or "
            f"let the network see the image at the size of training"
        )

    @torch.inference_mode()
    def _run(self, batch: Batch, rung: Rung) -> Image:
        network = self.network.to(rung.device)
        network.memory = network.memory.in_bands if rung.in_bands else self._memory
        moved = {name: tensor.to(rung.device) for name, tensor in batch.items()}
        with network.memory.float32_precision():
            total = sum(
                _turned_back(network.predict_step(_turned(moved, *symmetry), 0), *symmetry)
                for symmetry in self.symmetries
            )
        assert isinstance(total, Tensor)
        enhanced: Image = (total / len(self.symmetries))[0, 0].cpu().numpy()
        if not np.isfinite(enhanced).all():
            raise RadenhanceError("the network gives values that are infinite or not a number")
        return enhanced


def open_enhancer(
    checkpoint: str | Path,
    *,
    at: PredictAt = "auto",
    device: str | None = None,
    symmetric: bool = False,
) -> NetworkEnhancer:
    """Return the network in a checkpoint or in a model package.

    Args:
        checkpoint: A checkpoint, or a package.
        at: The size at which it sees a radiograph; auto is what the checkpoint says.
        device: Where to begin, as `NetworkEnhancer` has it.
        symmetric: Whether to take the mean over mirrored and turned images.

    Raises:
        UsageError: The file is not there, damaged, or not a checkpoint of radenhance.
    """
    opened = Checkpoint.open(checkpoint)
    return NetworkEnhancer(
        opened, sha256=model_sha256(Path(checkpoint)), at=at, device=device, symmetric=symmetric
    )


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an exception says that a GPU or the machine has no more memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    words = "DefaultCPUAllocator", "can't allocate memory", "CUDA out of memory"
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def _device(name: str | None) -> torch.device:
    has_gpu = torch.cuda.is_available()
    try:
        device = torch.device(name or ("cuda" if has_gpu else "cpu"))
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda") or (device.type == "cuda" and not has_gpu):
        gpus = f"cuda or cuda:0 to cuda:{torch.cuda.device_count() - 1}"
        raise ParameterError(
            "device", got=name, expected=f"cpu, {gpus}" if has_gpu else "cpu; there is no GPU here"
        )
    return device


def _ladder(first: torch.device) -> Iterator[Rung]:
    if first.type != "cpu":
        yield from (Rung(first, in_bands) for in_bands in (False, True))
    yield Rung(torch.device("cpu"), in_bands=True)


def _turned(batch: Batch, quarters: int, mirrored: bool) -> Batch:
    if not (quarters or mirrored):  # torch.rot90 would copy it
        return batch

    def turned(image: Tensor) -> Tensor:
        return torch.rot90(image.flip(-1) if mirrored else image, quarters, (-2, -1))

    return {name: turned(image).contiguous() for name, image in batch.items()}


def _turned_back(image: Tensor, quarters: int, mirrored: bool) -> Tensor:
    back = torch.rot90(image, -quarters, (-2, -1)) if quarters else image
    return back.flip(-1) if mirrored else back


def _described(checkpoint: Checkpoint, sha256: str, *, symmetric: bool) -> str:
    settings = ", ".join(
        f"{name.rpartition('.')[2]} {value}"
        for name, value in checkpoint.flags.items()
        if value not in (None, "none")
    )
    return (
        f"Contrast enhanced by a neural network of radenhance {__version__}: {settings}, "
        f"{'mean of mirrored and turned images, ' if symmetric else ''}checkpoint SHA-256 {sha256}"
    )
