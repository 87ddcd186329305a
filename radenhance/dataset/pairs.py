"""Pairs as tensors: read, normalized, resampled, augmented."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, default_collate

from radenhance.dataset.augment import Geometry, Image, random_exposure
from radenhance.dataset.cache import Cache
from radenhance.dataset.decoded import Decoded, ImageSize, decode
from radenhance.dataset.description import Rules
from radenhance.dataset.loader import Draw
from radenhance.dataset.manifest import Pair, stem_of
from radenhance.dataset.normalize import exposure_shift
from radenhance.dicom.declaration import Rule
from radenhance.errors import DatasetError, ImageSizeError

WHOLE = (slice(None), slice(None))

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
        cache: Where decoded files are kept; None decodes them at every access.
        rules: What the dataset declares about its files.
    """

    def __init__(
        self,
        root: Path,
        pairs: Sequence[Pair],
        *,
        image_size: ImageSize,
        windowed: bool = True,
        augmentation: Augmentation | None = None,
        cache: Cache | None = None,
        rules: Rules | None = None,
    ) -> None:
        self.root = root
        self.pairs = pairs
        self.image_size = image_size
        self.windowed = windowed
        self.augmentation = augmentation
        self.rules = rules or Rules()
        self._decode = decode if cache is None else cache.decode
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
        raw, target = self._read(pair)
        if self.augmentation is None:
            images = raw[WHOLE], target[WHOLE]
            exposure = 0.0
        else:
            self._refuse_small(pair, raw)
            assert self._geometry is not None
            seed = draw_seed(self.augmentation.seed, epoch, index)
            images = self._geometry(raw, target, seed)
            exposure = exposure_change(raw, seed, max_log2=self.augmentation.exposure)
        network_input = stretched(images[0] + np.float32(exposure), raw, windowed=self.windowed)
        return {
            "raw": to_tensor(network_input),
            "target": to_tensor(images[1]),
            "case": pair.raw_path,
        }

    def _read(self, pair: Pair) -> tuple[Decoded, Decoded]:
        raw = self._decode(
            self.root / pair.raw_path,
            rule=self.rules.raw,
            viewing=False,
            image_size=self.image_size,
        )
        target = self._decode(
            self.root / pair.target_path,
            rule=self.rules.target,
            viewing=True,
            image_size=self.image_size,
        )
        if raw.native_shape != target.native_shape:
            raise DatasetError(
                f"{pair.raw_path} has {raw.native_shape} rows and columns, {pair.target_path} "
                f"{target.native_shape}; both halves of a pair must be the same image, pixel by "
                f"pixel"
            )
        return raw, target

    def _refuse_small(self, pair: Pair, raw: Decoded) -> None:
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
        rule: What is declared about the files; nothing when None.
    """

    def __init__(
        self,
        files: Sequence[Path],
        *,
        image_size: ImageSize,
        windowed: bool = True,
        rule: Rule | None = None,
    ) -> None:
        self.files = files
        self._names = output_names(files)
        self.rule = rule or Rule()
        self.image_size = image_size
        self.windowed = windowed

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        """Return raw, float32 (1, H, W); case, the file's path; name, for what is made of it."""
        raw = decode(self.files[index], rule=self.rule, viewing=False, image_size=self.image_size)
        network_input = stretched(raw[WHOLE], raw, windowed=self.windowed)
        case, name = str(self.files[index]), self._names[index]
        return {"raw": to_tensor(network_input), "case": case, "name": name}


def output_names(files: Sequence[Path]) -> list[str]:
    """Return a name for each file, without suffix, below the folder that all of them share.

    No two are equal: files that differ in their suffix alone keep it.
    """
    folder = Path(os.path.commonpath([file.parent for file in files]))
    bare = [(file.parent / stem_of(file)).relative_to(folder).as_posix() for file in files]
    counts = Counter(bare)
    return [
        name if counts[name] == 1 else file.relative_to(folder).as_posix()
        for name, file in zip(bare, files, strict=True)
    ]


def stretched(image: Image, decoded: Decoded, *, windowed: bool) -> Image:
    """Return what the network sees of unit values of a raw radiograph, in [0, 1] if windowed.

    Args:
        image: Unit values of all of it, or of a part.
        decoded: Whose window becomes [0, 1].
        windowed: False leaves the unit values as they are.
    """
    if not windowed:
        return image
    low, high = decoded.window
    clipped: Image = np.clip((image - np.float32(low)) / np.float32(high - low), 0, 1)
    return clipped


def exposure_change(raw: Decoded, seed: int, *, max_log2: float) -> float:
    """Return what another exposure adds to the unit values of a detector that is linear.

    Args:
        raw: The radiograph; nothing is added when its values are logarithmic already.
        seed: Of the draw.
        max_log2: Largest change, in powers of two.
    """
    if raw.relationship != "LIN" or not max_log2:
        return 0.0
    return exposure_shift(random_exposure(seed, max_log2=max_log2), bits=raw.bits)


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
