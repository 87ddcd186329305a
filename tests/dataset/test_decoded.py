import numpy as np
import pytest

from radenhance.dataset import normalize as normalize_module
from radenhance.dataset.decoded import decode
from radenhance.dataset.normalize import exposed_field, intensity_range, normalize
from radenhance.dataset.resample import resample
from radenhance.dicom.declaration import Declaration
from radenhance.dicom.read import read
from radenhance.errors import RadiographError

WHOLE = (slice(None), slice(None))
LINEAR = Declaration(relationship="LIN", bits=14)
OPTIONS = {"declaration": LINEAR, "for_presentation": False, "image_size": "native"}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.random.default_rng(0).integers(100, 9000, (60, 50)).astype(np.uint16))
    return path


def test_native_pixels_stay_the_whole_numbers_of_the_file(file):
    decoded = decode(file, **OPTIONS)
    assert decoded.pixels.dtype == np.uint16
    assert np.array_equal(decoded.pixels, np.load(file))
    assert np.array_equal(decoded[WHOLE], normalize(read(file, declaration=LINEAR)))
    assert (decoded.bits, decoded.relationship) == (14, "LIN")


def test_resampled_pixels_are_means_of_unit_values(file):
    decoded = decode(file, **OPTIONS | {"image_size": 20})
    unit = normalize(read(file, declaration=LINEAR))
    assert np.array_equal(decoded[WHOLE], resample(unit, 20))
    assert (decoded.shape, decoded.native_shape) == ((24, 20), (60, 50))


@pytest.mark.parametrize("image_size", ["native", 20])
def test_the_intensity_range_is_that_of_the_file_at_its_own_size(file, image_size):
    radiograph = read(file, declaration=LINEAR)
    expected = intensity_range(radiograph, exposed_field(radiograph, normalize(radiograph)))
    assert decode(file, **OPTIONS | {"image_size": image_size}).intensity_range == expected


@pytest.mark.parametrize("image_size", ["native", 20])
def test_a_target_keeps_the_scale_that_it_was_made_for(file, image_size):
    options = OPTIONS | {"for_presentation": True, "image_size": image_size}
    decoded = decode(file, **options)
    assert decoded.intensity_range == (0.0, 1.0)
    assert decoded.relationship == "LOG"


@pytest.mark.parametrize(
    ("for_presentation", "image_size", "times"),
    [(False, "native", 1), (False, 20, 1), (True, 20, 1), (True, "native", 0)],
)
def test_an_image_is_normalized_no_more_than_once(
    file, monkeypatch, for_presentation, image_size, times
):
    whole_images = []

    def count(pixels, **options):
        if pixels.shape == (60, 50):
            whole_images.append(pixels)
        return to_unit(pixels, **options)

    to_unit = normalize_module.to_unit
    monkeypatch.setattr(normalize_module, "to_unit", count)
    decode(file, declaration=LINEAR, for_presentation=for_presentation, image_size=image_size)
    assert len(whole_images) == times


def test_an_area_is_a_copy_that_may_be_changed(file):
    decoded = decode(file, **OPTIONS)
    area = (slice(10, 20), slice(5, 9))
    part = decoded[area]
    assert np.array_equal(part, decoded[WHOLE][area])
    part[:] = 0
    assert decoded[area].any()


def test_without_collimator_or_padding_all_of_the_image_is_valid(file):
    assert decode(file, **OPTIONS).valid == (0, 0, 60, 50)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(RadiographError, match=r"missing\.npy"):
        decode(tmp_path / "missing.npy", **OPTIONS)
