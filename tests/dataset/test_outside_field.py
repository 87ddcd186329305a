import numpy as np
import pytest

from radenhance.dataset.decoded import Decoded
from radenhance.dataset.field import FEATHER_PX, OPAQUE, FieldWeights, field_mask, fills
from radenhance.dataset.outside_field import blackened, common_rule, is_black_outside

SHAPE = (120, 160)
TILTED = np.array([[30.0, 20.0], [130.0, 26.0], [126.0, 96.0], [26.0, 90.0]])
WHOLE = np.array([[-0.5, -0.5], [159.5, -0.5], [159.5, 119.5], [-0.5, 119.5]])
EVERYTHING = slice(None), slice(None)


def decoded(image, field=TILTED):
    corners = None if field is None else tuple(map(tuple, field.tolist()))
    pixels = image.astype(np.float32)
    return Decoded(pixels, 12, "LOG", (0, 1), (0, 0, *image.shape), image.shape, corners)


def weights_of(corners, shape=SHAPE):
    return FieldWeights(corners, SHAPE, shape)[EVERYTHING]


@pytest.mark.parametrize("corners", [TILTED, TILTED[::-1], np.roll(TILTED, 2, axis=0), WHOLE])
def test_weights_are_0_outside_and_full_8_pixels_inside(corners):
    inside = field_mask(corners, SHAPE)
    weights = weights_of(corners)
    deep = np.zeros(SHAPE, bool)
    if corners is not WHOLE:
        middle = corners.mean(axis=0)
        shrunk = middle + (corners - middle) * 0.7  # over 8 pixels inside every edge
        deep = field_mask(shrunk, SHAPE)
    assert (weights[~inside] == 0).all()
    assert (weights[deep] == OPAQUE).all()


def test_the_edge_is_soft_and_monotonous():
    row = weights_of(TILTED)[58, :60].astype(int)
    rising = np.diff(row)
    assert (rising >= 0).all()
    assert rising.max() <= OPAQUE / FEATHER_PX + 1


def test_an_edge_on_the_image_border_is_no_edge_of_the_shutter():
    left_only = np.array([[40.0, -0.5], [159.5, -0.5], [159.5, 119.5], [40.0, 119.5]])
    weights = weights_of(left_only)
    assert (weights[:, 60:] == OPAQUE).all()
    assert (weights[:, :40] == 0).all()


@pytest.mark.parametrize("area", [(slice(0, 40), slice(100, 160)), (slice(33, 34), slice(None))])
def test_a_part_of_the_weights_is_that_part_of_the_whole(area):
    weights = FieldWeights(TILTED, SHAPE, SHAPE)
    assert np.array_equal(weights[area], weights[EVERYTHING][area])


def test_weights_of_a_smaller_image_are_the_means_of_those_of_the_file():
    small = weights_of(TILTED, (30, 40)).astype(float)
    means = weights_of(TILTED).reshape(30, 4, 40, 4).mean(axis=(1, 3))
    assert np.abs(small - means).mean() < 0.01 * OPAQUE


def test_a_field_that_was_not_found_is_the_whole_image():
    assert fills(WHOLE, SHAPE)
    assert not fills(TILTED, SHAPE)
    assert not fills(WHOLE + [[0, 2], [0, 2], [0, 0], [0, 0]], SHAPE)
    assert (decoded(np.ones(SHAPE), None).field_weights[EVERYTHING] == OPAQUE).all()


def test_targets_are_black_outside_where_they_are_black_there():
    raw, inside = decoded(np.ones(SHAPE)).field_weights, field_mask(TILTED, SHAPE)
    assert is_black_outside(raw, decoded(inside * 0.5, None)) is True
    assert is_black_outside(raw, decoded(0.1 + inside * 0.5, None)) is False
    assert is_black_outside(decoded(inside, None).field_weights, inside * 0.5) is None


def test_of_a_large_target_some_rows_and_columns_are_looked_at():
    asked = []

    class Target:
        def __getitem__(self, area):
            asked.append(np.empty((4000, 3000))[area].shape)
            return np.zeros(asked[-1], np.float32)

    weights = FieldWeights(20 * TILTED, (4000, 3000), (4000, 3000))
    assert is_black_outside(weights, Target()) is True
    assert min(asked[0]) >= 256
    assert np.prod(asked[0]) < 4000 * 3000 / 100


@pytest.mark.parametrize(
    ("verdicts", "rule"),
    [
        ([], None),
        ([None, None], None),
        ([True, None], "black"),
        ([True] * 9 + [False], "black"),
        ([True] * 8 + [False] * 2, "keep"),
        ([False], "keep"),
    ],
)
def test_nine_in_ten_images_with_a_field_decide_for_a_dataset(verdicts, rule):
    assert common_rule(verdicts) == rule


def test_an_image_is_blackened_outside_and_untouched_inside():
    image = np.random.default_rng(0).random(SHAPE, np.float32)
    weights = weights_of(TILTED)
    result = blackened(image, weights)
    assert result.dtype == np.float32
    assert np.array_equal(result[weights == OPAQUE], image[weights == OPAQUE])
    assert not result[weights == 0].any()
