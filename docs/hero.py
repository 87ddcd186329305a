"""Draw README's first picture: a radiograph and the demo network's image of it, at native size.

    make demo
    python docs/hero.py data/synthetic/raw/cat020.dcm docs/images/hero.png

The network sees the image at the size that it was trained at; its correction is enlarged and added
to the image at native size, so that what is sharp stays sharp. The radiograph is one of the
validation set, which the network has not been trained on.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch

from radenhance.arrays import Image
from radenhance.checkpoint import Checkpoint
from radenhance.dataset.decoded import ImageSize
from radenhance.dataset.field import OPAQUE
from radenhance.dataset.pairs import RadiographFiles, Sample
from radenhance.dicom.declaration import Declaration
from radenhance.enhancer import ContrastEnhancer
from radenhance.files import replace_file
from radenhance.runs import find_checkpoint

GAP = 12
WHITE = 255


def main() -> None:
    """Write the picture."""
    flags = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    flags.add_argument("raw", type=Path, help="raw radiograph")
    flags.add_argument("picture", type=Path, help="PNG file to write")
    flags.add_argument("--ckpt_path", default="best", help="checkpoint (best of the newest run)")
    options = flags.parse_args()
    checkpoint = Checkpoint.open(find_checkpoint(options.ckpt_path, Path()))
    native = seen(options.raw, "native")
    raw, inside = native["raw"][0].numpy(), native["field"][0].numpy() / np.float32(OPAQUE)
    small = seen(options.raw, checkpoint.input["image_size"])
    rows, columns = raw.shape
    enlarged = cv2.resize(
        correction(checkpoint, small), (columns, rows), interpolation=cv2.INTER_CUBIC
    )
    images = (raw, np.clip(raw + enlarged, 0, 1) * inside)
    replace_file(options.picture, side_by_side(images))


def seen(raw: Path, image_size: ImageSize) -> Sample:
    """Return what the network sees of a radiograph, black outside the exposed field."""
    files = RadiographFiles(
        [raw], image_size=image_size, declaration=Declaration(), black_outside=True
    )
    return files[0]


@torch.inference_mode()
def correction(checkpoint: Checkpoint, sample: Sample) -> Image:
    """Return what the network adds to an image, shape (H, W)."""
    network = ContrastEnhancer.from_checkpoint(checkpoint).eval()
    raw = sample["raw"][None]
    added: Image = (network(raw) - raw)[0, 0].numpy()
    return added


def side_by_side(images: tuple[Image, Image]) -> bytes:
    """Return the images as one PNG, with a white line between them."""
    left, right = ((image * WHITE).round().astype(np.uint8) for image in images)
    line = np.full((len(left), GAP), WHITE, np.uint8)
    _, encoded = cv2.imencode(".png", np.hstack([left, line, right]))
    return encoded.tobytes()


if __name__ == "__main__":
    main()
