"""Pairs as tensors: read, normalized, resampled, augmented."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import Dataset, default_collate

from radenhance.dataset.augment import Geometry, Image, random_exposure, resample
from radenhance.dataset.loader import Draw
from radenhance.dataset.manifest import Pair
from radenhance.dataset.normalize import exposure_shift, normalize, window
from radenhance.dicom.radiograph import Radiograph
from radenhance.dicom.read import read
from radenhance.errors import DatasetError, ImageSizeError

ImageSize = int | Literal["native"]
Sample = dict[str, Any]
"""raw and target, float32 (1, H, W) in about [0, 1]; case, the raw file's path in the dataset."""


@dataclass(frozen=True)
class Augmentation:
    """What training does to a pair at random, as a function of seed, epoch and index alone.

    Args:
        crop: Side of the square cut out at random, in pixels; None keeps the whole image.
        moves: Whether to draw a symmetry of the square and a small affine map.
        exposure: Largest change of exposure, in powers of two, of a raw image that is linear in
            intensity; 0 for none.
        seed: Of every draw.
    """

    crop: int | None = None
    moves: bool = True
    exposure: float = 0.0
    seed: int = 0


class PairDataset(Dataset[Sample]):
    """Pairs of a dataset folder, read when asked for.

    Args:
        root: The dataset folder.
        pairs: The lines of its manifest to use.
        image_size: Shorter side in pixels after resampling, or native for none.
        windowed: Whether raw images are stretched so that their window becomes [0, 1].
        augmentation: None for whole images as they are.
    """

    def __init__(
        self,
        root: Path,
        pairs: Sequence[Pair],
        *,
        image_size: ImageSize,
        windowed: bool = True,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.root = root
        self.pairs = pairs
        self.image_size = image_size
        self.windowed = windowed
        self.augmentation = augmentation
        self._geometry = None
        if augmentation is not None:
            self._geometry = Geometry(augmentation.crop, moves=augmentation.moves)

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.pairs)

    def __getitem__(self, draw: Draw | int) -> Sample:
        """Return one sample; `draw` is its index, or (epoch, index) where augmentation is wanted.

        Raises:
            RadiographError: A file cannot be read.
            DatasetError: The two halves differ in size.
            ImageSizeError: The image is smaller than the crop.
        """
        epoch, index = draw if isinstance(draw, tuple) else (0, draw)
        pair = self.pairs[index]
        radiograph, target = self._read(pair)
        raw = raw_input(radiograph, self.image_size, windowed=self.windowed)
        if self.augmentation is not None:
            self._refuse_small(pair, raw)
            seed = draw_seed(self.augmentation.seed, epoch, index)
            raw += self._exposure(radiograph, seed)
            assert self._geometry is not None
            raw, target = self._geometry(raw, target, seed)
        return {"raw": to_tensor(raw), "target": to_tensor(target), "case": pair.raw_path}

    def _read(self, pair: Pair) -> tuple[Radiograph, Image]:
        raw = read(self.root / pair.raw_path)
        target = read(self.root / pair.target_path, viewing=True)
        if raw.shape != target.shape:
            raise DatasetError(
                f"{pair.raw_path} has {raw.shape} rows and columns, {pair.target_path} "
                f"{target.shape}; both halves of a pair must be the same image, pixel by pixel"
            )
        return raw, sized(normalize(target), self.image_size)

    def _exposure(self, radiograph: Radiograph, seed: int) -> np.float32:
        """A shift of the log domain: what another exposure does to a detector that is linear."""
        assert self.augmentation is not None
        if radiograph.relationship != "LIN" or not self.augmentation.exposure:
            return np.float32(0)
        factor = random_exposure(seed, max_log2=self.augmentation.exposure)
        low, high = window(radiograph) if self.windowed else (0.0, 1.0)
        return np.float32(exposure_shift(factor, bits=radiograph.bits) / (high - low))

    def _refuse_small(self, pair: Pair, raw: Image) -> None:
        assert self.augmentation is not None
        crop = self.augmentation.crop
        if crop is not None and min(raw.shape) < crop:
            raise ImageSizeError(
                f"{pair.raw_path} has {raw.shape} rows and columns, too few for crops of {crop} "
                f"pixels; set --data.crop_size to at most {min(raw.shape)}, or --data.image_size"
            )


class RadiographFiles(Dataset[Sample]):
    """Raw radiographs without a target, for prediction.

    Args:
        files: Their paths.
        image_size: As in PairDataset.
        windowed: As in PairDataset.
    """

    def __init__(
        self, files: Sequence[Path], *, image_size: ImageSize, windowed: bool = True
    ) -> None:
        self.files = files
        self.image_size = image_size
        self.windowed = windowed

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        """Return raw, float32 (1, H, W), and case, the path of the file."""
        raw = raw_input(read(self.files[index]), self.image_size, windowed=self.windowed)
        return {"raw": to_tensor(raw), "case": str(self.files[index])}


def raw_input(radiograph: Radiograph, image_size: ImageSize, *, windowed: bool) -> Image:
    """Return what the network sees of a raw radiograph, shape (H, W), in about [0, 1]."""
    image = normalize(radiograph)
    if windowed:
        low, high = window(radiograph)
        image = (image - np.float32(low)) / np.float32(high - low)
    return sized(image, image_size)


def sized(image: Image, image_size: ImageSize) -> Image:
    """Return the image with its shorter side at `image_size`, or as it is when that is native."""
    return image if image_size == "native" else resample(image, image_size)


def collate(samples: list[Sample]) -> Sample:
    """Return the samples as one batch.

    Raises:
        ImageSizeError: They differ in size.
    """
    shapes = sorted({tuple(sample["raw"].shape[-2:]) for sample in samples})
    if len(shapes) > 1:
        raise ImageSizeError(
            f"images of one batch differ in size: {', '.join(map(str, shapes))}; set "
            f"--data.batch_size 1, or --data.crop_size for square crops of one size"
        )
    batch: Sample = default_collate(samples)
    return batch


def draw_seed(seed: int, epoch: int, index: int) -> int:
    """Return a seed for one draw, unrelated to those of its neighbours."""
    return int(np.random.SeedSequence([seed, epoch, index]).generate_state(1)[0])


def to_tensor(image: Image) -> torch.Tensor:
    """Return an image (H, W) as a tensor (1, H, W) of its own memory."""
    return torch.from_numpy(np.ascontiguousarray(image)[None])
