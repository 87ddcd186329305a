import cv2
import numpy as np
import pytest
from vendor_archive import anatomy, processed

from radenhance.prepare.check.alignment import Orientation
from radenhance.prepare.geometry import fault_of_geometry, placement_of, what_to_undo

WAYS = [
    Orientation(quarters, mirrored=mirrored) for quarters in range(4) for mirrored in (False, True)
]
SHIFTS = [(1, 0), (0, -1), (2, 3), (-4, 5), (0.7, 0), (-1.5, 0.3), (2.25, -2.75), (-6, -1)]


def moved(image, rows, columns):
    matrix = np.float32([[1, 0, columns], [0, 1, rows]])
    return cv2.warpAffine(
        image,
        matrix,
        image.shape[::-1],
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )


def target_of(raw):
    return processed(raw).astype(np.float32)


def fault(raw, target):
    return fault_of_geometry(raw.shape, target.shape, placement_of(raw, target))


@pytest.mark.parametrize(
    ("way", "shift"),
    [(way, shift) for way in WAYS for shift in ((0, 0), (2, -3))]
    + [(way, shift) for way in (WAYS[0], WAYS[3]) for shift in SHIFTS],
)
def test_a_target_is_told_how_it_lies_and_moved_onto_its_raw_image(way, shift):
    raw = anatomy()
    target = target_of(raw)
    lying = moved(target, *shift)
    lying = np.ascontiguousarray(
        np.rot90(np.fliplr(lying) if way.mirrored else lying, way.quarters)
    )
    assert fault(raw, lying) == ""
    found = placement_of(raw, lying)
    assert found.orientation == way
    assert found.alignment.shift == pytest.approx(shift, abs=0.12)
    told = what_to_undo(found)
    assert ("--turn-targets" in told) == (way != Orientation())
    assert ("--register-targets" in told) == (shift != (0, 0))
    assert what_to_undo(found, turn=True, register=True) == ""
    inside = (slice(8, -8),) * 2
    whole = all(float(s).is_integer() for s in shift)
    error = np.abs(found.undone(lying) - target)[inside]
    assert error.max() < (1e-6 if whole else 0.1)
    assert error.mean() < 0.01


@pytest.mark.parametrize("shift", [(9, 0), (0, -12), (20, 20), (-40, 7)])
def test_a_target_that_is_far_off_is_refused(shift):
    raw = anatomy()
    assert "more than the 8 pixels that are moved back" in fault(raw, moved(target_of(raw), *shift))


@pytest.mark.parametrize("turns", range(4))
def test_an_inverted_target_is_refused_however_it_lies(turns):
    raw = anatomy()
    assert "is INVERTED against its raw" in fault(raw, np.rot90(1 - target_of(raw), turns).copy())


@pytest.mark.parametrize("seed", range(1, 5))
def test_targets_of_other_radiographs_fit_in_no_way(seed):
    assert "in none of eight" in fault(anatomy(), target_of(anatomy(seed)))


@pytest.mark.parametrize("darkest", [0.02, 0.2, 0.4])
def test_a_target_of_little_detail_in_place_is_not_taken_for_shifted(darkest):
    raw = anatomy()
    saturated = np.where(target_of(raw) > darkest, 1, target_of(raw)).astype(np.float32)
    placement = placement_of(raw, saturated)
    assert placement is None or not placement.is_shifted
