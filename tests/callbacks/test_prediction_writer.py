from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from evaluated import write_network
from processes import command, start_nodes

from radenhance.callbacks.prediction_writer import PredictionWriter
from radenhance.dataset.field import OPAQUE


def write(writer, names, images):
    writer.on_predict_batch_end(None, None, images, {"name": names}, 0)


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


@pytest.mark.parametrize("num_whole", [0, 1, 2])
def test_in_how_many_images_no_field_was_found_is_said_in_the_end(num_whole, caplog):
    field = torch.zeros(2, 1, 4, 6, dtype=torch.uint8)
    field[:num_whole] = OPAQUE
    field[:, :, :, 3:] = OPAQUE
    writer = PredictionWriter(Path("out"))
    batch = {"name": ["a", "b"], "field": field}
    writer.on_predict_batch_end(None, None, torch.zeros(2, 1, 4, 6), batch, 0)
    with caplog.at_level("INFO", "lightning.pytorch.utilities.rank_zero"):
        writer.on_predict_end(None, None)
        writer.on_predict_end(None, None)
    told = f"No exposed field was found in {num_whole} of 2 images"
    assert caplog.text.count(told) == bool(num_whole)


def test_processes_of_one_image_write_each_good_one_once_and_list_each_bad_one_once(tmp_path):
    write_network(Path("x.ckpt"))
    Path("in").mkdir()
    for number in range(3):
        np.save(f"in/{number}.npy", np.linspace(0, 60000, 5600).reshape(70, 80).astype(np.uint16))
    Path("in/0.npy").write_bytes(Path("in/1.npy").read_bytes()[:-100])
    flags = ["--ckpt_path=x.ckpt", "--data.predict_from=in", "--data.num_workers=0"]
    by_rows = ["--trainer.strategy=rows", "--trainer.num_nodes=2", "--trainer.accelerator=cpu"]
    first, second = start_nodes(command, "predict", *flags, *by_rows, folder=tmp_path)
    assert (first.wait(120).code, second.wait(120).code) == (4, 0), first.output
    listed = first.output.partition("Passed over:\n")[2]
    assert listed.count("  case ") == listed.count("  case 1: ") == 1
    assert "1 radiograph had to be passed over" in listed
    assert "Passed over" not in second.output
    assert sorted(path.name for path in Path("enhanced").iterdir()) == ["1.png", "2.png"]
