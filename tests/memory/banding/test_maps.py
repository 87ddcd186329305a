"""The maps of a stage from the maps before them, at any band and at the borders."""

import pytest
import torch
import torch.nn.functional as F

from radenhance.memory.banding.bands import fill, stored
from radenhance.memory.banding.batch_norm import Normalization, Statistics
from radenhance.memory.banding.maps import StageInputs, first_map, image_map, second_map

NUM_SMALL, NUM_SKIP, NUM_FIRST = 3, 2, 4


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@pytest.fixture(params=[True, False], ids=["skip", "no skip"])
def inputs(request):
    torch.manual_seed(0)
    num_inputs = NUM_SMALL + (NUM_SKIP if request.param else 0)
    stem = (None, None, None)
    norms = random(NUM_FIRST), random(NUM_FIRST)
    return StageInputs(
        random(2, NUM_SMALL, 5, 3),
        random(2, NUM_SKIP, 10, 6) if request.param else None,
        random(NUM_FIRST, num_inputs, 3, 3),
        *stem,
        *norms,
        random(NUM_FIRST, NUM_FIRST, 3, 3),
        *norms,
        random(1, NUM_FIRST, 3, 3),
        random(1),
    )


def expected_first(inputs):
    features = F.interpolate(inputs.features, scale_factor=2.0)
    if inputs.skip is not None:
        features = torch.cat([features, inputs.skip], dim=1)
    return F.conv2d(features, inputs.first_weight, padding=1)


def first_of(inputs):
    skip = None if inputs.skip is None else stored(inputs.skip)
    return first_map(inputs, stored(inputs.features), skip, torch.float64)


@pytest.mark.parametrize("band_rows", [1, 2, 3, 7, 100])
def test_the_first_map_is_that_of_the_upsampled_map_and_the_skip(inputs, band_rows):
    first = first_of(inputs)
    assert first.num_rows == 10
    torch.testing.assert_close(fill(first, band_rows), expected_first(inputs), rtol=1e-12, atol=0)


@pytest.mark.parametrize(("first", "last"), [(-1, 1), (0, 1), (3, 4), (3, 8), (9, 11)])
def test_any_rows_of_the_first_map_can_be_read_with_zeros_beyond_it(inputs, first, last):
    whole = F.pad(expected_first(inputs), (0, 0, 1, 1))
    result = first_of(inputs)(first, last)
    torch.testing.assert_close(result, whole[:, :, first + 1 : last + 1], rtol=1e-12, atol=0)


@pytest.mark.parametrize("band_rows", [1, 4, 100])
def test_the_second_map_and_the_image_follow(inputs, band_rows):
    mean, variance = random(NUM_FIRST), random(NUM_FIRST).square()
    norm = Normalization(Statistics(mean, variance, 0), inputs.first_gamma, inputs.first_beta, 1e-5)

    def activated(features):
        weight, bias = inputs.first_gamma, inputs.first_beta
        return F.relu(F.batch_norm(features, mean, variance, weight, bias, eps=1e-5))

    second = second_map(first_of(inputs), norm, inputs.second_weight)
    whole = F.conv2d(activated(expected_first(inputs)), inputs.second_weight, padding=1)
    torch.testing.assert_close(fill(second, band_rows), whole, rtol=1e-11, atol=1e-11)
    image = image_map(second.then(norm.activated), inputs, torch.float64)
    whole = F.conv2d(activated(whole), inputs.head_weight, inputs.head_bias, padding=1)
    torch.testing.assert_close(fill(image, band_rows), whole, rtol=1e-11, atol=1e-11)
