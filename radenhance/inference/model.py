"""What enhances one radiograph: a trained network, or the conventional enhancer.

A network that runs out of memory goes down a ladder: the whole image on the GPU, the image in bands
there, the image in bands on the CPU. All of them compute the same function. What was too much for
an image is not tried again for one of that size or larger.
"""

import dataclasses
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from radenhance import __version__
from radenhance.arrays import Image
from radenhance.checkpoint import Checkpoint
from radenhance.dataset.decoded import decoded
from radenhance.dataset.normalize import normalize
from radenhance.dataset.pairs import collate
from radenhance.dataset.prediction import REDUCED, PredictAt, prediction_input
from radenhance.dicom.radiograph import Radiograph
from radenhance.enhancer import Batch, ContrastEnhancer
from radenhance.errors import ImageSizeError, MachineError, RadenhanceError
from radenhance.memory.banding.stages import BandRows
from radenhance.package_file import model_sha256
from radenhance.reference_enhancer.enhance import enhance as reference_enhance
from radenhance.reference_enhancer.presets import ALGORITHM, PRESETS

MIN_SIDE = 32
"""Least rows and columns that a network takes."""

_log = logging.getLogger(__name__)


class Enhancer(Protocol):
    """Enhances one radiograph."""

    name: str
    """What it is, in a word or two, as for a caption."""
    description: str
    """What it is, so that somebody else can do the same; printable ASCII on one line."""

    def __call__(self, radiograph: Radiograph) -> Image:
        """Return the enhanced pixels, float32 in [0, 1], of the radiograph's rows and columns.

        Raises:
            RadenhanceError: The radiograph is not one that can be enhanced, or memory ran out.
        """


class ReferenceEnhancer:
    """The conventional enhancer.

    Args:
        preset: A name of PRESETS.
    """

    def __init__(self, preset: str = "default") -> None:
        self.preset = preset
        self.name = preset
        self.description = (
            f"Contrast enhanced by the reference enhancer {ALGORITHM} of radenhance {__version__}, "
            f"preset {preset}"
        )
        PRESETS[preset]  # the caller has checked it

    def __call__(self, radiograph: Radiograph) -> Image:
        """Return the enhanced pixels."""
        return reference_enhance(
            normalize(radiograph),
            valid=radiograph.valid,
            spacing_mm=radiograph.spacing_mm,
            preset=self.preset,
        )


@dataclass(frozen=True)
class Rung:
    """A way to run a network.

    Args:
        device: Where.
        band_rows: Rows of its bands, or auto; 0 for whole images.
    """

    device: torch.device
    band_rows: BandRows

    def __str__(self) -> str:
        """Return what to call it in a sentence."""
        where = "the CPU" if self.device.type == "cpu" else "the GPU"
        return f"{'in bands' if self.band_rows else 'whole'} on {where}"


class NetworkEnhancer:
    """A trained network.

    Args:
        checkpoint: Its weights and settings.
        sha256: SHA-256 of the file that it came from, of a package of its weights, in hex.
        at: The size at which it sees a radiograph.
        device: Where to begin; the GPU when None, where there is one.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        sha256: str,
        at: PredictAt = "auto",
        device: str | None = None,
    ) -> None:
        self.network = ContrastEnhancer.from_checkpoint(checkpoint).eval()
        self.input = checkpoint.input
        self.at = at
        self.name = "network"
        self.description = _described(checkpoint, sha256)
        first = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.rungs = list(_ladder(first, banded=checkpoint.memory.quantization == "none"))
        self._too_large: dict[Rung, int] = {}

    def __call__(self, radiograph: Radiograph) -> Image:
        """Return the enhanced pixels."""
        if min(radiograph.shape) < MIN_SIDE:
            raise ImageSizeError(
                f"{radiograph.path}: the image has {radiograph.shape} rows and columns, expected "
                f"{MIN_SIDE} or more of each"
            )
        return self.enhance(self.batch_of(radiograph))

    def batch_of(self, radiograph: Radiograph) -> Batch:
        """Return what the network takes of a radiograph."""
        sample = prediction_input(
            decoded(radiograph),
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
        network.memory = dataclasses.replace(network.memory, band_rows=rung.band_rows)
        moved = {name: tensor.to(rung.device) for name, tensor in batch.items()}
        enhanced: Image = network.predict_step(moved, 0)[0, 0].cpu().numpy()
        if not np.isfinite(enhanced).all():
            raise RadenhanceError("the network gives values that are infinite or not a number")
        return enhanced


def open_enhancer(
    checkpoint: Path, *, at: PredictAt = "auto", device: str | None = None
) -> NetworkEnhancer:
    """Return the network in a checkpoint or in a model package.

    Args:
        checkpoint: A checkpoint, or a package.
        at: The size at which it sees a radiograph.
        device: Where to begin, as `NetworkEnhancer` has it.

    Raises:
        UsageError: The file is not there, damaged, or not a checkpoint of radenhance.
    """
    opened = Checkpoint.open(checkpoint)
    return NetworkEnhancer(opened, sha256=model_sha256(checkpoint), at=at, device=device)


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an exception says that a GPU or the machine has no more memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    words = "DefaultCPUAllocator", "can't allocate memory", "CUDA out of memory"
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def _ladder(first: torch.device, *, banded: bool) -> Iterator[Rung]:
    # on a CPU bands cost nothing, and every byte counts
    bands: list[BandRows] = ["auto"] if banded else []
    cpu = torch.device("cpu")
    yield from (Rung(first, rows) for rows in ([0, *bands] if first.type != "cpu" else []))
    yield Rung(cpu, bands[0] if bands else 0)


def _described(checkpoint: Checkpoint, sha256: str) -> str:
    settings = ", ".join(
        f"{name.rpartition('.')[2]} {value}"
        for name, value in checkpoint.flags.items()
        if value not in (None, "none")
    )
    return (
        f"Contrast enhanced by a neural network of radenhance {__version__}: {settings}, "
        f"checkpoint SHA-256 {sha256}"
    )
