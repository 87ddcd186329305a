import logging

import numpy as np
import pytest
import torch
from enhancing import small_checkpoint

from radenhance.checkpoint import Checkpoint
from radenhance.dicom.radiograph import Header, Radiograph
from radenhance.errors import ImageSizeError, MachineError, ParameterError
from radenhance.inference.model import NetworkEnhancer, ReferenceEnhancer, Rung, open_enhancer


def radiograph(rows=150, columns=120, seed=0, **header):
    pixels = np.random.default_rng(seed).integers(0, 4096, (rows, columns), dtype=np.uint16)
    return Radiograph(pixels, 12, "LOG", path="a.dcm", header=Header(**header))


@pytest.mark.parametrize("at", ["auto", "native", "training"])
@pytest.mark.parametrize("output", ["image", "correction"])
def test_the_output_has_the_rows_and_columns_of_the_file(at, output):
    enhancer = open_enhancer(small_checkpoint(output=output), at=at, device="cpu")
    for shape in ((150, 120), (64, 90), (33, 201)):
        enhanced = enhancer(radiograph(*shape))
        assert enhanced.shape == shape
        assert enhanced.dtype == np.float32
        assert enhanced.min() >= 0
        assert enhanced.max() <= 1


def test_an_image_far_larger_than_in_training_keeps_its_detail():
    path = small_checkpoint(output="correction")
    source = radiograph(192, 192)
    whole, enlarged = (open_enhancer(path, at=at, device="cpu") for at in ("native", "auto"))
    assert "reduced" not in whole.batch_of(source)
    batch = enlarged.batch_of(source)
    assert batch["reduced"].shape[-2:] == (64, 64)
    added = enlarged(source) - batch["raw"][0, 0].numpy()
    assert 0 < np.abs(np.diff(added[8:-8, 8:-8])).mean() < 0.05  # smooth, where the image is noise
    assert not np.allclose(whole(source), enlarged(source))


@pytest.mark.parametrize(("side", "reduced"), [(64, False), (95, False), (96, True), (50, False)])
def test_auto_sees_a_reduced_image_from_one_and_a_half_times_the_size_of_training(side, reduced):
    enhancer = open_enhancer(small_checkpoint(), device="cpu")
    assert ("reduced" in enhancer.batch_of(radiograph(side, side))) == reduced


def test_a_network_of_native_size_sees_native_images():
    enhancer = open_enhancer(small_checkpoint(image_size="native"), at="training", device="cpu")
    assert "reduced" not in enhancer.batch_of(radiograph(300, 300))


def test_an_image_smaller_than_the_network_takes_is_refused():
    enhancer = open_enhancer(small_checkpoint(), device="cpu")
    with pytest.raises(ImageSizeError, match=r"a\.dcm: the image has \(31, 90\) rows"):
        enhancer(radiograph(31, 90))


def test_bands_and_whole_images_give_the_same():
    path = small_checkpoint(output="correction")
    enhancer = open_enhancer(path, at="native", device="cpu")
    batch = enhancer.batch_of(radiograph(300, 280))
    banded = enhancer.enhance(batch)
    with torch.inference_mode():
        whole = enhancer.network.enhanced(batch).clamp(0, 1)[0, 0].numpy()
    np.testing.assert_allclose(banded, whole, atol=1e-6, rtol=0)


class Ladder(NetworkEnhancer):
    """Runs out of memory on rungs of its choice, and notes what it tried."""

    def __init__(self, path, fails):
        super().__init__(Checkpoint.open(path), sha256="0" * 64, at="native", device="cpu")
        first = torch.device("meta")  # stands for a GPU
        self.rungs = [Rung(first, in_bands=False), Rung(first, in_bands=True), *self.rungs]
        self.fails, self.tried = fails, []

    def _run(self, batch, rung):
        index = self.rungs.index(rung)
        self.tried.append(index)
        error = self.fails.get(index)
        if error is not None:
            raise error
        return super()._run(batch, self.rungs[-1])


OUT_OF_MEMORY = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory"
    ),
    MemoryError(),
)


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
def test_memory_that_runs_out_is_met_with_bands_and_then_the_cpu(error, caplog):
    source = radiograph()
    expected = open_enhancer(small_checkpoint(), at="native", device="cpu")(source)
    enhancer = Ladder("small.ckpt", {0: error, 1: error})
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(enhancer(source), expected)
    assert enhancer.tried == [0, 1, 2]
    assert [record.getMessage() for record in caplog.records] == [
        "memory is too small for 18000 pixels whole on the GPU",
        "memory is too small for 18000 pixels in bands on the GPU",
    ]


def test_what_was_too_much_is_not_tried_again_for_as_large_an_image_and_is_for_a_smaller_one():
    small_checkpoint()
    enhancer = Ladder("small.ckpt", {0: OUT_OF_MEMORY[0]})
    enhancer(radiograph(150, 120))
    enhancer.tried.clear()
    enhancer(radiograph(150, 121))
    assert enhancer.tried == [1]
    enhancer.fails = {}
    enhancer(radiograph(100, 100))
    assert enhancer.tried == [1, 0]


def test_memory_that_runs_out_on_each_rung_is_said_and_a_defect_is_no_lack_of_memory():
    small_checkpoint()
    enhancer = Ladder("small.ckpt", dict.fromkeys(range(3), OUT_OF_MEMORY[0]))
    with pytest.raises(MachineError, match="memory ran out for 18000 pixels in bands on the CPU"):
        enhancer(radiograph())
    with pytest.raises(RuntimeError, match="a defect"):
        Ladder("small.ckpt", {0: RuntimeError("a defect")})(radiograph())


def test_the_description_names_the_network_and_its_file():
    description = open_enhancer(small_checkpoint(), device="cpu").description
    for fact in ("encoder tu-mobilenetv3_small_050", "image_size 64", "outside_field keep"):
        assert fact in description
    assert description.isascii()
    assert len(description) < 1024
    assert len(description.rpartition("SHA-256 ")[2]) == 64


@pytest.mark.parametrize(
    ("header", "preset"),
    [
        ({"body_part": "CHEST"}, "thorax"),
        ({"species": "Canine", "body_part": "ELBOW"}, "bone"),
        ({"species": "Landschildkröte", "body_part": "CHEST"}, "exotic"),
        ({"species": "unicorn", "body_part": "ABDOMEN"}, "soft"),
        ({}, "default"),
    ],
)
def test_the_preset_is_chosen_by_species_and_body_part_and_named(header, preset):
    enhancer, source = ReferenceEnhancer(), radiograph(**header)
    chosen = ReferenceEnhancer(preset)
    np.testing.assert_array_equal(enhancer(source), chosen(source))
    assert enhancer.describe(source).endswith(f"preset auto ({preset})")
    assert chosen.describe(source).endswith(f"preset {preset}")


def test_a_preset_that_does_not_exist_is_refused():
    with pytest.raises(ParameterError, match="preset is 'vivid', expected one of auto, soft"):
        ReferenceEnhancer("vivid")
