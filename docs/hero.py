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

from radenhance.arrays import Image
from radenhance.checkpoint import Checkpoint
from radenhance.dataset.field import OPAQUE
from radenhance.dataset.prediction import RadiographFiles
from radenhance.files import replace_file
from radenhance.network.coarse import CoarseCorrection
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
    settings, state = Checkpoint.open(find_checkpoint(options.ckpt_path, Path())).as_coarse()
    coarse = CoarseCorrection(**settings)
    coarse.load_state_dict(state)
    (raw,) = RadiographFiles([options.raw], image_size="native", black_outside=True)
    image, inside = raw["raw"], raw["field"] / OPAQUE
    enhanced = (image + coarse(image[None])[0]).clamp(0, 1) * inside
    replace_file(options.picture, side_by_side((image[0].numpy(), enhanced[0].numpy())))


def side_by_side(images: tuple[Image, Image]) -> bytes:
    """Return the images as one PNG, with a white line between them."""
    left, right = ((image * WHITE).round().astype(np.uint8) for image in images)
    line = np.full((len(left), GAP), WHITE, np.uint8)
    _, encoded = cv2.imencode(".png", np.hstack([left, line, right]))
    return encoded.tobytes()


if __name__ == "__main__":
    main()
