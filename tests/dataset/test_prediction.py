import numpy as np
import pytest

from radenhance.dataset.decoded import Decoded
from radenhance.dataset.loader import EachOnceSampler
from radenhance.dataset.prediction import network_size, prediction_input


@pytest.mark.parametrize(
    ("shape", "image_size", "at", "expected"),
    [
        ((300, 400), 192, "auto", 192),
        ((287, 400), 192, "auto", "native"),
        ((288, 400), 192, "auto", 192),
        ((287, 400), 192, "training", 192),
        ((192, 400), 192, "training", "native"),
        ((100, 100), 192, "training", "native"),
        ((4188, 4188), 192, "native", "native"),
        ((4188, 4188), "native", "training", "native"),
    ],
)
def test_a_network_sees_a_reduced_image_only_where_it_has_to(shape, image_size, at, expected):
    assert network_size(shape, image_size, at) == expected


def decoded(shape, corners):
    pixels = np.random.default_rng(0).integers(0, 4096, shape, dtype=np.uint16)
    ends = (0.1, 0.9)
    return Decoded(pixels, 12, "LOG", ends, (0, 0, *shape), shape, corners)


def test_the_reduced_image_is_stretched_and_shuttered_as_the_whole_one_is():
    corners = ((20.0, 30.0), (180.0, 30.0), (180.0, 200.0), (20.0, 200.0))
    settings = {"image_size": 64, "at": "auto", "auto_range": True}
    sample = prediction_input(decoded((240, 200), corners), **settings, black_outside=True)
    assert sample["raw"].shape == sample["field"].shape == (1, 240, 200)
    assert sample["reduced"].shape == sample["reduced_field"].shape == (1, 77, 64)
    for image, field in (("raw", "field"), ("reduced", "reduced_field")):
        assert not sample[image][sample[field] == 0].any()
        assert 0.3 < sample[image][sample[field] == 255].mean() < 0.7
        assert 0.5 < (sample[field] > 127).float().mean() < 0.6
    kept = prediction_input(decoded((240, 200), corners), **settings, black_outside=False)
    assert kept.keys() == {"raw", "reduced"}


@pytest.mark.parametrize("num_files", [1, 2, 3, 7])
@pytest.mark.parametrize("num_processes", [1, 2, 3])
def test_each_file_is_for_one_process_also_where_there_are_fewer_of_them(num_files, num_processes):
    samplers = [
        EachOnceSampler(range(num_files), num_processes, rank) for rank in range(num_processes)
    ]
    assert sorted(index for sampler in samplers for index in sampler) == [*range(num_files)]
    assert sum(map(len, samplers)) == num_files
