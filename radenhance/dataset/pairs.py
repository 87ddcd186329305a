"""Pairs as tensors: decoded, augmented, and stretched to the range that the network sees.

The order matters. Geometry and exposure change unit values, which depend on the file alone; what
the network sees is stretched last, by the intensity range of the whole image, so a crop has the
brightness that it has in the image.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset, default_collate

from radenhance.arrays import Image
from radenhance.dataset.augment import (
    Geometry,
    Sliceable,
    lower_dose,
    random_dose,
    random_exposure,
)
from radenhance.dataset.cache import Cache
from radenhance.dataset.decoded import Decoded, ImageSize, decode
from radenhance.dataset.description import Declarations
from radenhance.dataset.loader import Draw
from radenhance.dataset.manifest import Pair, case_names
from radenhance.dataset.normalize import exposure_shift
from radenhance.dataset.outside_field import (
    OutsideField,
    blackened,
    common_rule,
    is_black_outside,
)
from radenhance.errors import DatasetError, ImageSizeError, RadiographError

WHOLE = (slice(None), slice(None))

MEASURED_PAIRS = 10
"""Pairs that are looked at to learn what holds for a dataset."""

Sample = dict[str, Any]
"""raw and target, float32 (1, H, W) in about [0, 1]; case, what to call it in logs and pictures.

Where what is outside the field is black: field, uint8 (1, H, W), 0 outside and 255 inside.
"""


@dataclass(frozen=True)
class Augmentation:
    """The random changes of a pair in training, a function of seed, epoch and index alone.

    Args:
        crop: Side of the square that is cropped at random, in pixels; None keeps the whole image.
        moves: Whether to draw a symmetry of the square and a small affine map.
        exposure: Largest change of exposure, in powers of two, of a raw image that is linear in
            intensity; 0 for none.
        dose: Largest division of the dose, in powers of two, of a raw image that is linear in
            intensity; 0 for none.
        full_scale_quanta: Quanta per pixel of a file where its intensity is the largest.
        seed: Seed of all draws.
    """

    crop: int | None = None
    moves: bool = True
    exposure: float = 0.0
    dose: float = 0.0
    full_scale_quanta: float = 0.0
    seed: int = 0


class PairDataset(Dataset[Sample]):
    """Pairs of a dataset folder, read on access.

    Args:
        root: The dataset folder.
        pairs: The pairs to use, of the folder's manifest.
        image_size: The shorter side in pixels after resampling, or native for none.
        auto_range: Whether each raw image is stretched so that its intensity range becomes [0, 1];
            else the unit values stay as they are.
        augmentation: The random changes; None for whole images without any.
        cache: The cache of decoded files; None decodes them at every access.
        declarations: What the dataset declares about its files; None declares nothing.
        black_outside: Whether raw images are made black outside their exposed field.
        cases: What to call each pair in all that is logged or drawn; by default they are counted.
    """

    def __init__(  # noqa: PLR0913
        self,
        root: Path,
        pairs: Sequence[Pair],
        *,
        image_size: ImageSize,
        auto_range: bool = True,
        augmentation: Augmentation | None = None,
        cache: Cache | None = None,
        declarations: Declarations | None = None,
        black_outside: bool = False,
        cases: Sequence[str] | None = None,
    ) -> None:
        self.root = root
        self.pairs = pairs
        self.image_size = image_size
        self.auto_range = auto_range
        self.augmentation = augmentation
        self.declarations = declarations or Declarations()
        self.black_outside = black_outside
        self.cases = case_names(pairs, pairs) if cases is None else cases
        self._decode = decode if cache is None else cache.decode
        self._geometry = None
        if augmentation is not None:
            self._geometry = Geometry(augmentation.crop, moves=augmentation.moves)

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.pairs)

    def __getitem__(self, draw: Draw | int) -> Sample:
        """Return one sample.

        Args:
            draw: The index of the pair, or (epoch, index) to draw the augmentation of an epoch.

        Raises:
            RadiographError: A file cannot be read.
            DatasetError: Raw image and target differ in size.
            ImageSizeError: The image is smaller than the crop.
        """
        epoch, index = draw if isinstance(draw, tuple) else (0, draw)
        pair = self.pairs[index]
        raw, target = self.read(pair)
        kept: tuple[Sliceable, ...] = (
            raw,
            target,
            *([raw.field_weights] if self.black_outside else []),
        )
        if self.augmentation is None:
            images = [image[WHOLE] for image in kept]
            exposure = 0.0
        else:
            self._refuse_small(pair, raw)
            assert self._geometry is not None
            seed = draw_seed(self.augmentation.seed, epoch, index)
            images = self._geometry(kept, seed)
            images[0] = with_lower_dose(images[0], raw, self.augmentation, seed)
            exposure = exposure_change(raw, seed, max_log2=self.augmentation.exposure)
        unit = images[0] + np.float32(exposure)
        seen = network_input(unit, raw, auto_range=self.auto_range)
        target_and_case = {"target": to_tensor(images[1]), "case": self.cases[index]}
        return input_of(seen, *images[2:]) | target_and_case

    def read(self, pair: Pair) -> tuple[Decoded, Decoded]:
        """Return raw image and target of a pair.

        Raises:
            RadiographError: A file cannot be read.
            DatasetError: They differ in size.
        """
        raw = self._decode(
            self.root / pair.raw_path,
            declaration=self.declarations.raw,
            for_presentation=False,
            image_size=self.image_size,
        )
        target = self._decode(
            self.root / pair.target_path,
            declaration=self.declarations.target,
            for_presentation=True,
            image_size=self.image_size,
        )
        check_same_shape(pair, raw.native_shape, target.native_shape)
        return raw, target

    def _refuse_small(self, pair: Pair, raw: Decoded) -> None:
        assert self.augmentation is not None
        crop = self.augmentation.crop
        if crop is not None and min(raw.shape) < crop:
            raise ImageSizeError(
                f"{pair.raw_path} has {raw.shape} rows and columns, too few for crops of {crop} "
                f"pixels; set RadiographDataModule.crop_size to at most {min(raw.shape)}, or "
                "RadiographDataModule.image_size"
            )


def check_same_shape(pair: Pair, raw: tuple[int, int], target: tuple[int, int]) -> None:
    """Refuse a pair of which the files differ in rows and columns.

    Raises:
        DatasetError: They do.
    """
    if raw != target:
        raise DatasetError(
            f"{pair.raw_path} has {raw} rows and columns, {pair.target_path} {target}; raw and "
            f"target must be the same image, pixel by pixel"
        )


def input_of(seen: Image, weights: npt.NDArray[np.uint8] | None = None) -> Sample:
    """Return what a step needs of a raw image that the network sees.

    Args:
        seen: The image, as `network_input` returns it.
        weights: How much of each pixel is in the field, if what is outside becomes black.
    """
    if weights is None:
        return {"raw": to_tensor(seen)}
    return {"raw": to_tensor(blackened(seen, weights)), "field": to_tensor(weights)}


def rule_outside(dataset: PairDataset) -> OutsideField | None:
    """Return whether targets are black outside the field, by some pairs of all parts of a list.

    Args:
        dataset: The pairs, of which about MEASURED_PAIRS are read; those that cannot be are left
            to whoever needs them.
    """
    verdicts = []
    for pair in dataset.pairs[:: max(len(dataset) // MEASURED_PAIRS, 1)]:
        with suppress(RadiographError, DatasetError):
            raw, target = dataset.read(pair)
            verdicts.append(is_black_outside(raw.field_weights, target))
    return common_rule(verdicts)


def network_input(unit: Image, decoded: Decoded, *, auto_range: bool) -> Image:
    """Return what the network sees of a raw radiograph, or of a part of it.

    Args:
        unit: Unit values, float32, shape (H, W).
        decoded: The radiograph.
        auto_range: Whether to stretch its intensity range to [0, 1], and clip what lies beyond;
            else the unit values stay as they are.
    """
    if not auto_range:
        return unit
    low, high = decoded.intensity_range
    clipped: Image = np.clip((unit - np.float32(low)) / np.float32(high - low), 0, 1)
    return clipped


def exposure_change(raw: Decoded, seed: int, *, max_log2: float) -> float:
    """Return what another exposure adds to the unit values of a detector that is linear.

    Args:
        raw: The radiograph; nothing is added if its values are logarithmic already.
        seed: Seed of the draw.
        max_log2: Largest change, in powers of two.
    """
    if raw.relationship != "LIN" or not max_log2:
        return 0.0
    return exposure_shift(random_exposure(seed, max_log2=max_log2), bits=raw.bits)


def with_lower_dose(unit: Image, raw: Decoded, augmentation: Augmentation, seed: int) -> Image:
    """Return unit values with the noise of a lower dose, where the detector is linear.

    Args:
        unit: Unit values of the radiograph or of a part of it.
        raw: The radiograph; it is left as it is if its values are logarithmic already.
        augmentation: How far the dose goes down, and how many quanta there are.
        seed: Seed of the draw.
    """
    if raw.relationship != "LIN" or not augmentation.dose:
        return unit
    # a pixel of a reduced image is the mean of many of the file, and has all their quanta
    area = np.prod(raw.native_shape) / np.prod(raw.shape)
    divisor = random_dose(seed, max_log2=augmentation.dose)
    quanta = augmentation.full_scale_quanta * float(area)
    return lower_dose(unit, divisor, bits=raw.bits, full_scale_quanta=quanta, seed=seed)


def collate(samples: list[Sample]) -> Sample:
    """Return the samples as one batch.

    Raises:
        ImageSizeError: They differ in size.
    """
    shapes = sorted({tuple(sample["raw"].shape[-2:]) for sample in samples})
    if len(shapes) > 1:
        raise ImageSizeError(
            f"images of one batch differ in size: {', '.join(map(str, shapes))}; set "
            "RadiographDataModule(batch_size=1), or RadiographDataModule.crop_size for square "
            "crops of one size"
        )
    batch: Sample = default_collate(samples)
    return batch


def draw_seed(seed: int, epoch: int, index: int) -> int:
    """Return a seed for one draw, unrelated to those of its neighbours."""
    return int(np.random.SeedSequence([seed, epoch, index]).generate_state(1)[0])


def to_tensor(image: npt.NDArray[Any]) -> torch.Tensor:
    """Return an image (H, W) as a tensor (1, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(image)[None])
