import numpy as np
import pytest
from radiograph_scenes import SIDES, collimator, limb

from radenhance.dataset.field import field_mask, find_field
from radenhance.dataset.normalize import normalize
from radenhance.dicom.read import read
from radenhance.prepare.real import sample

SIDE = 384


def overlap(found, true):
    return np.sum(found & true) / np.sum(found | true)


@pytest.mark.parametrize("angle_deg", [0, 5, -12, 15])
@pytest.mark.parametrize(
    "sides", [("left",), ("left", "right"), ("left", "top", "right"), SIDES], ids="-".join
)
def test_field_is_found_whatever_the_sides_and_the_angle(sides, angle_deg):
    passes = collimator(SIDE, sides=sides, angle_deg=angle_deg, margin=0.2)
    image = limb(SIDE, blocked=passes)
    found = field_mask(find_field(image), image.shape)
    assert overlap(found, passes > 0.5) > 0.94


@pytest.mark.parametrize("angle_deg", [0, 8])
def test_hardly_any_penumbra_stays_in_the_field(angle_deg):
    passes = collimator(SIDE, angle_deg=angle_deg, blur_px=2)
    image = limb(SIDE, blocked=passes)
    found = field_mask(find_field(image), image.shape)
    assert np.mean(passes[found] > 0.8) > 0.99


@pytest.mark.parametrize("turns", range(4))
def test_turned_image_has_the_turned_field(turns):
    passes = collimator(SIDE, sides=("left", "top"), angle_deg=6)
    image = np.ascontiguousarray(np.rot90(limb(SIDE, blocked=passes), turns))
    found = field_mask(find_field(image), image.shape)
    assert overlap(found, np.rot90(passes > 0.5, turns)) > 0.95


@pytest.mark.parametrize("seed", range(3))
def test_limb_without_collimator_keeps_every_pixel(seed):
    image = limb(SIDE, seed=seed)
    assert field_mask(find_field(image), image.shape).all()


def test_body_that_fills_half_the_image_is_no_collimator():
    depth = np.clip(np.linspace(-1, 1, SIDE), 0, None)[:, None]
    wave = 0.02 * np.sin(np.linspace(0, 9, SIDE))[None]
    thickness = np.sqrt(np.clip(depth + wave, 0, 1)).astype(np.float32)
    image = 0.05 + 0.6 * thickness
    assert field_mask(find_field(image), image.shape).all()


def test_constant_image_is_all_field():
    image = np.full((100, 80), 0.5, np.float32)
    assert field_mask(find_field(image), image.shape).all()


def test_lower_leg_is_collimated_left_and_right():
    corners = find_field(normalize(read(sample("RG3"))))
    left, right = corners[:, 0].min(), corners[:, 0].max()
    assert 440 < left < 480
    assert 1200 < right < 1240
    assert corners[:, 1].min() < 0
    assert corners[:, 1].max() > 1759


def test_chest_keeps_nearly_every_pixel():
    image = normalize(read(sample("RG1")))
    assert field_mask(find_field(image), image.shape).mean() > 0.99


def test_field_lies_within_the_valid_area():
    image = limb(SIDE)
    valid = np.zeros(image.shape, np.bool_)
    valid[40:300, 60:350] = True
    image[~valid] = 0
    found = field_mask(find_field(image, valid=valid), image.shape)
    assert overlap(found, valid) > 0.99
    assert not found[:39].any()


def test_mask_of_corners_at_the_image_border_is_full():
    corners = np.array([(-0.5, -0.5), (19.5, -0.5), (19.5, 9.5), (-0.5, 9.5)])
    assert field_mask(corners, (10, 20)).all()


def test_mask_of_a_triangle_is_half_the_image():
    corners = np.array([(-0.5, -0.5), (99.5, -0.5), (-0.5, 99.5)])
    assert abs(field_mask(corners, (100, 100)).mean() - 0.5) < 0.02
