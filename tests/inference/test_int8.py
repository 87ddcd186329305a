from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from old_checkpoints import write_old_checkpoint

from radenhance.checkpoint import Checkpoint
from radenhance.errors import UsageError
from radenhance.inference.int8 import FAKE, FLOAT, INT8, convert, measure


def batch(seed):
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(1, 1, 64, 64, generator=generator)
    return {"raw": image, "target": image}


def network_of(function):
    return SimpleNamespace(enhanced=lambda batch: function(batch["raw"]))


def test_each_network_is_compared_with_the_target_and_with_the_one_that_trained():
    networks = {
        FLOAT: network_of(lambda image: image),
        FAKE: network_of(lambda image: image.flip(-1)),
        INT8: network_of(lambda image: image.flip(-1) * 2 - 0.5),
    }
    measured = measure(networks, [batch(0), batch(1)], num_scales="auto")
    assert measured[FLOAT].ms_ssim == pytest.approx(1)
    assert measured[FAKE].agreement == pytest.approx(1)
    assert measured[FLOAT].agreement == pytest.approx(measured[FAKE].ms_ssim)
    assert measured[INT8].ms_ssim < measured[INT8].agreement < 1
    assert all(one.seconds > 0 for one in measured.values())


def test_an_old_quantized_checkpoint_becomes_an_int8_file(tiny_dataset):
    write_old_checkpoint("quant", "old.ckpt")
    checkpoint = Checkpoint.open(Path("old.ckpt"))
    measured = convert(checkpoint, Path("small.onnx"), tiny_dataset)
    assert measured.keys() == {FLOAT, FAKE, INT8}
    assert Path("small.onnx").stat().st_size < 0.3 * checkpoint.num_bytes


def test_a_checkpoint_of_a_float_network_is_refused(tiny_dataset):
    write_old_checkpoint("mom", "old.ckpt")
    with pytest.raises(UsageError, match=r"old.ckpt was not trained for int8; train with"):
        convert(Checkpoint.open(Path("old.ckpt")), Path("small.onnx"), tiny_dataset)
    assert not Path("small.onnx").exists()
