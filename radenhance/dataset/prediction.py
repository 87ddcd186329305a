"""What a trained network needs of a radiograph to enhance it at the size of its file.

A network knows what it has seen: images of the size that it was trained on. On an image of four
times that size it does worse than when its correction of the reduced image is enlarged and added to
the image, with all of its detail (docs/decisions/0019-enhance.md has the measure).
"""

import dataclasses
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from torch.utils.data import Dataset

from radenhance.dataset.decoded import Decoded, ImageSize, decode
from radenhance.dataset.manifest import case_names, stem_of
from radenhance.dataset.pairs import WHOLE, Sample, input_of, network_input
from radenhance.dataset.resample import resample
from radenhance.dicom.declaration import Declaration

PredictAt = Literal["auto", "native", "training"]
"""Size at which a network sees a radiograph that it enhances."""

MIN_SIDE = 32
"""Least rows and columns that a network takes."""

FAR = 1.5
"""From how many times the size of training on `auto` takes the enlarged correction."""

REDUCED, REDUCED_FIELD = "reduced", "reduced_field"
"""What a sample has beside `raw` and `field` where the network sees a reduced image."""


def network_size(shape: tuple[int, int], image_size: ImageSize, at: PredictAt) -> ImageSize:
    """Return the shorter side of what the network sees of a radiograph, or native.

    Args:
        shape: Rows and columns of the radiograph.
        image_size: The size of training.
        at: What the user asked for; a radiograph that is no larger than what the network was
            trained on is never enlarged.
    """
    if at == "native" or image_size == "native" or min(shape) <= image_size:
        return "native"
    return "native" if at == "auto" and min(shape) < FAR * image_size else image_size


def prediction_input(
    raw: Decoded, *, image_size: ImageSize, at: PredictAt, auto_range: bool, black_outside: bool
) -> Sample:
    """Return a radiograph as a network sees it, at the size of its file.

    Args:
        raw: The radiograph, at native size.
        image_size: The shorter side of what the network was trained on, or native.
        at: The size at which it sees the radiograph.
        auto_range: Whether its intensity range becomes [0, 1].
        black_outside: Whether it is made black outside its exposed field.

    Returns:
        raw and perhaps field, as in a Sample; and, where the network sees a reduced image, that
        and its field, likewise.
    """

    def seen(image: Decoded) -> Sample:
        weights = image.field_weights[WHOLE] if black_outside else None
        return input_of(network_input(image[WHOLE], image, auto_range=auto_range), weights)

    sample = seen(raw)
    size = network_size(raw.shape, image_size, at)
    if size != "native":
        small = seen(dataclasses.replace(raw, pixels=resample(raw[WHOLE], size)))
        sample |= dict(zip((REDUCED, REDUCED_FIELD), small.values(), strict=False))
    return sample


class RadiographFiles(Dataset[Sample]):
    """Raw radiographs without a target, for prediction.

    Args:
        files: Paths of the radiographs.
        image_size: The shorter side of what the network was trained on, or native.
        at: The size at which the network sees them.
        auto_range: Whether each radiograph is stretched so that its intensity range becomes [0, 1];
            else the unit values stay as they are.
        declaration: What the user declares about the files; None declares nothing.
        black_outside: Whether they are made black outside their exposed field.
        cases: What to call each file in all that is logged; by default they are counted.
    """

    def __init__(
        self,
        files: Sequence[Path],
        *,
        image_size: ImageSize,
        at: PredictAt = "auto",
        auto_range: bool = True,
        declaration: Declaration | None = None,
        black_outside: bool = False,
        cases: Sequence[str] | None = None,
    ) -> None:
        self.files = files
        self.declaration = declaration or Declaration()
        self.cases = case_names(files, files) if cases is None else cases
        self._names = output_names(files)
        self._seen = {
            "image_size": image_size,
            "at": at,
            "auto_range": auto_range,
            "black_outside": black_outside,
        }

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        """Return what `prediction_input` does; `case`; and `name`, that of its output."""
        raw = decode(
            self.files[index],
            declaration=self.declaration,
            for_presentation=False,
            image_size="native",
        )
        names = {"case": self.cases[index], "name": self._names[index]}
        return prediction_input(raw, **self._seen) | names  # type: ignore[arg-type]


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
