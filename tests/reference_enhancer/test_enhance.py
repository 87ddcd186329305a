import numpy as np
import pytest
from radiograph_scenes import collimator, limb

from radenhance.dataset.normalize import normalize
from radenhance.dicom.read import read
from radenhance.errors import ImageSizeError, RadiographError, UsageError
from radenhance.prepare.real import sample
from radenhance.reference_enhancer.enhance import ALGORITHM, PRESETS, Preset, enhance

SIDE = 384


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("shape", [(256, 256), (255, 131), (32, 32), (32, 200)])
def test_result_is_float32_in_0_1_of_the_same_shape(preset, shape):
    image = limb(256)[: shape[0], : shape[1]]
    result = enhance(np.ascontiguousarray(image), preset=preset)
    assert result.dtype == np.float32
    assert result.shape == shape
    assert result.min() >= 0
    assert result.max() <= 1


def test_same_image_gives_same_bytes():
    image = limb(SIDE, blocked=collimator(SIDE))
    assert enhance(image).tobytes() == enhance(image.copy()).tobytes()


def test_image_is_left_as_it_was():
    image = limb(128)
    before = image.copy()
    enhance(image, valid=np.ones(image.shape, np.bool_))
    assert np.array_equal(image, before)


def test_bone_is_brighter_than_soft_tissue_and_air_is_black():
    result = enhance(limb(SIDE))
    bone, tissue = result[:, 170:184].mean(), result[:, 280:290].mean()
    assert bone > tissue + 0.1
    assert tissue > 0.1
    assert result[:, :40].max() < 0.02


def test_trabeculae_stand_out_more_than_with_a_tone_curve():
    image = limb(SIDE, quanta=1e6)
    flat = Preset(power=1, octave_gains=(1.0,), residual_gain=1)
    bone = slice(310, 370), slice(165, 185)
    contrasts = [np.diff(enhance(image, preset=p)[bone], axis=0).std() for p in ("default", flat)]
    assert contrasts[0] > 1.3 * contrasts[1]


def test_outside_the_collimator_is_black():
    passes = collimator(SIDE, angle_deg=5)
    result = enhance(limb(SIDE, blocked=passes))
    assert result[passes < 0.3].max() == 0
    assert result[SIDE // 2 - 20 : SIDE // 2 + 20, SIDE // 2].min() > 0.1


def rim(preset):
    """How much brightness near a collimator edge differs from that farther inside, as a part."""
    passes = collimator(SIDE, sides=("top",))
    image = limb(SIDE, blocked=passes, taper=0, quanta=1e6)
    tissue = enhance(image, preset=preset)[:, 278:288].mean(1)
    edge = SIDE // 4
    seam, inside = tissue[edge + 12 : edge + 60], tissue[edge + 120 : edge + 200].mean()
    return np.abs(seam - inside).max() / inside


def test_collimator_edge_leaves_no_rim():
    assert rim(Preset()) < 0.1


def test_collimator_edge_that_is_not_looked_for_does_leave_a_rim():
    assert rim(Preset(find_collimator=False)) > 0.3


def test_invalid_pixels_are_black_and_change_nothing_elsewhere():
    image, valid = limb(SIDE), np.ones((SIDE, SIDE), np.bool_)
    valid[:50] = False
    clean = enhance(image, valid=valid)
    image[:50] = np.random.default_rng(0).random((50, SIDE), np.float32)
    np.testing.assert_allclose(enhance(image, valid=valid)[58:], clean[58:], atol=1e-6)
    assert (clean[:50] == 0).all()


def test_brighter_or_flatter_exposure_gives_nearly_the_same_image():
    image = limb(SIDE)
    np.testing.assert_allclose(enhance(0.1 + 0.7 * image), enhance(image), atol=0.01)


def test_spacing_may_be_one_number_or_two_or_unknown():
    image = limb(128)
    assert np.array_equal(enhance(image, spacing_mm=0.2), enhance(image, spacing_mm=(0.2, 0.2)))
    assert np.array_equal(enhance(image), enhance(image, spacing_mm=0.1))
    assert not np.array_equal(enhance(image), enhance(image, spacing_mm=0.2))


def test_constant_image_is_black():
    assert not enhance(np.full((64, 48), 0.7, np.float32)).any()


def test_two_valued_image_is_enhanced():
    image = np.zeros((200, 200), np.float32)
    image[99:101, 99:101] = 1  # less than the percentiles see
    assert enhance(image)[100, 100] > 0.5


def test_strided_image_is_enhanced_like_its_copy():
    image = limb(256)
    turned = np.rot90(image)[::2]
    assert np.array_equal(enhance(turned), enhance(turned.copy()))


@pytest.mark.parametrize("shape", [(31, 64), (64, 31), (64, 64, 1), (4,)])
def test_small_image_is_refused(shape):
    with pytest.raises(ImageSizeError, match="32 pixels"):
        enhance(np.zeros(shape, np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.5, 2.0])
def test_values_that_are_no_attenuation_are_refused(value):
    image = limb(64)
    image[3, 5] = value
    with pytest.raises(RadiographError, match=r"expected numbers in \[0, 1\]"):
        enhance(image)


@pytest.mark.parametrize("dtype", [np.uint16, np.float64])
def test_other_types_are_refused(dtype):
    with pytest.raises(RadiographError, match="expected float32"):
        enhance(np.zeros((64, 64), dtype))


def test_mask_without_a_valid_pixel_is_refused():
    with pytest.raises(RadiographError, match="no pixel of the image is valid"):
        enhance(limb(64), valid=np.zeros((64, 64), np.bool_))


def test_mask_of_another_shape_is_refused():
    with pytest.raises(ImageSizeError, match=r"shape \(64, 63\)"):
        enhance(limb(64), valid=np.ones((64, 63), np.bool_))


@pytest.mark.parametrize("spacing_mm", [0, -0.1, (0.1, 0), float("nan")])
def test_impossible_spacing_is_refused(spacing_mm):
    with pytest.raises(RadiographError, match="pixel spacing"):
        enhance(limb(64), spacing_mm=spacing_mm)


def test_unknown_preset_is_refused_with_the_names_of_all():
    with pytest.raises(UsageError, match="'sharp', expected one of soft, default, bone"):
        enhance(limb(64), preset="sharp")


def test_one_valid_pixel_gives_a_black_image():
    valid = np.zeros((64, 64), np.bool_)
    valid[10, 10] = True
    assert not enhance(limb(64), valid=valid).any()


@pytest.mark.parametrize("name", ["RG1", "RG3"])
def test_real_radiograph_uses_the_whole_range_without_crushing_it(name):
    radiograph = read(sample(name))
    result = enhance(normalize(radiograph), valid=radiograph.valid)
    shown = result[result > 0.02]
    assert np.percentile(shown, 99) > 0.85
    assert 0.3 < np.median(shown) < 0.66
    assert np.mean(shown > 0.999) < 1e-3


def test_algorithm_is_named_with_its_version():
    assert ALGORITHM == "laplacian-power/1"
