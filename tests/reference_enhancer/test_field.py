import numpy as np

from radenhance.reference_enhancer.field import fill_outside, find_anatomy, shutter


def waves(shape=(90, 70)):
    y, x = np.indices(shape)
    return (0.5 + 0.2 * np.sin(x / 9) * np.cos(y / 11)).astype(np.float32)


def inner_rectangle(shape, margin):
    field = np.zeros(shape, np.bool_)
    field[margin:-margin, margin:-margin] = True
    return field


def test_filling_changes_nothing_inside():
    image, field = waves(), inner_rectangle((90, 70), 20)
    assert np.array_equal(fill_outside(image, field)[field], image[field])


def test_filling_leaves_no_jump_at_the_border():
    image, field = waves(), inner_rectangle((90, 70), 20)
    image[~field] = 1
    filled = fill_outside(image, field)
    steps = np.abs(np.diff(filled, axis=1))
    assert steps.max() < 2 * np.abs(np.diff(waves(), axis=1)).max()


def test_filling_stays_within_the_values_of_the_field():
    image, field = waves(), inner_rectangle((90, 70), 30)
    image[~field] = 1
    filled = fill_outside(image, field)
    assert filled.min() >= image[field].min() - 1e-6
    assert filled.max() <= image[field].max() + 1e-6


def test_one_pixel_of_field_fills_everything():
    image, field = waves(), np.zeros((90, 70), np.bool_)
    field[3, 60] = True
    np.testing.assert_allclose(fill_outside(image, field), image[3, 60], atol=1e-6)


def test_shutter_rises_over_its_feather_and_not_at_the_image_border():
    field = np.ones((40, 60), np.bool_)
    field[:, :20] = False
    weight = shutter(field, feather_px=8)
    assert (weight[:, :20] == 0).all()
    assert np.all(np.diff(weight[5, 19:29]) >= 0)
    assert 0 < weight[5, 20] < 0.5
    assert (weight[:, 28:] == 1).all()


def test_anatomy_leaves_out_air_metal_and_what_lies_outside():
    image = np.full((10, 10), 0.5, np.float32)
    image[0], image[1] = 0.01, 1.0
    field = np.ones((10, 10), np.bool_)
    field[2] = False
    anatomy = find_anatomy(image, field, np.full((10, 10), 0.02, np.float32))
    assert not anatomy[:3].any()
    assert anatomy[3:].all()


def test_anatomy_of_nothing_but_air_is_the_field():
    field = np.ones((10, 10), np.bool_)
    air = np.zeros((10, 10), np.float32)
    assert find_anatomy(air, field, air).all()
