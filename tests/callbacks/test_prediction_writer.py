from pathlib import Path

import cv2
import torch

from radenhance.callbacks.prediction_writer import PredictionWriter


def write(writer, names, images):
    writer.write_on_batch_end(None, None, images, None, {"name": names}, 0, 0)


def test_images_lie_where_their_raw_files_do_with_16_bits():
    images = torch.stack([torch.zeros(1, 4, 6), torch.full((1, 4, 6), 0.5)])
    write(PredictionWriter(Path("out")), ["cats/a", "b"], images)
    assert sorted(path.as_posix() for path in Path("out").rglob("*.png")) == [
        "out/b.png",
        "out/cats/a.png",
    ]
    image = cv2.imread("out/b.png", cv2.IMREAD_UNCHANGED)
    assert (image.dtype, image.shape) == ("uint16", (4, 6))
    assert abs(int(image[0, 0]) - 32768) <= 1


def test_an_image_of_its_own_is_replaced():
    writer = PredictionWriter(Path("out"))
    for value in (0.0, 1.0):
        write(writer, ["a"], torch.full((1, 1, 4, 6), value))
    assert cv2.imread("out/a.png", cv2.IMREAD_UNCHANGED).min() == 65535
