"""Draw README's first picture: a radiograph and the demo network's image of it, at native size.

    make demo
    python docs/hero.py data/synthetic/raw/cat020.dcm docs/images/hero.png

The pixels are those of `radenhance enhance best data/synthetic/raw/cat020.dcm`, of a radiograph
that the network has not been trained on.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from radenhance.arrays import Image
from radenhance.dicom.read import read
from radenhance.files import replace_file
from radenhance.inference.model import open_enhancer
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
    enhancer = open_enhancer(find_checkpoint(options.ckpt_path, Path()))
    radiograph = read(options.raw)
    seen = enhancer.batch_of(radiograph)["raw"][0, 0].numpy()
    replace_file(options.picture, side_by_side((seen, enhancer(radiograph))))


def side_by_side(images: tuple[Image, Image]) -> bytes:
    """Return the images as one PNG, with a white line between them."""
    left, right = ((image * WHITE).round().astype(np.uint8) for image in images)
    line = np.full((len(left), GAP), WHITE, np.uint8)
    _, encoded = cv2.imencode(".png", np.hstack([left, line, right]))
    return encoded.tobytes()


if __name__ == "__main__":
    main()
