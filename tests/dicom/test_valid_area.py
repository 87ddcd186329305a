import logging

import numpy as np
import pytest
from saved_files import save, with_pixels

from radenhance.dicom.read import read
from radenhance.errors import RadiographError

ROWS, COLUMNS = np.mgrid[1:25, 1:33]
"""Counted from 1, as in the header."""

COLLIMATOR = {
    "edges": "Collimator{}Edge",
    "center": "CenterOfCircularCollimator",
    "radius": "RadiusOfCircularCollimator",
    "vertices": "VerticesOfThePolygonalCollimator",
    "shape": "CollimatorShape",
}
SHUTTER = {
    "edges": "Shutter{}Edge",
    "center": "CenterOfCircularShutter",
    "radius": "RadiusOfCircularShutter",
    "vertices": "VerticesOfThePolygonalShutter",
    "shape": "ShutterShape",
}


def rectangle(dataset, names, left, right, upper, lower):
    setattr(dataset, names["shape"], "RECTANGULAR")
    edges = ("LeftVertical", "RightVertical", "UpperHorizontal", "LowerHorizontal")
    for edge, value in zip(edges, (left, right, upper, lower), strict=True):
        setattr(dataset, names["edges"].format(edge), value)


def valid(dataset):
    return read(save(dataset, "a.dcm")).valid


@pytest.mark.parametrize("names", [COLLIMATOR, SHUTTER], ids=["collimator", "shutter"])
def test_rectangle_includes_its_edges(names, digital_xray):
    rectangle(digital_xray, names, 5, 30, 2, 20)
    expected = (COLUMNS >= 5) & (COLUMNS <= 30) & (ROWS >= 2) & (ROWS <= 20)
    assert np.array_equal(valid(digital_xray), expected)


@pytest.mark.parametrize("names", [COLLIMATOR, SHUTTER], ids=["collimator", "shutter"])
def test_circle(names, digital_xray):
    setattr(digital_xray, names["shape"], "CIRCULAR")
    setattr(digital_xray, names["center"], [10, 16])
    setattr(digital_xray, names["radius"], 8)
    expected = np.hypot(ROWS - 10, COLUMNS - 16) <= 8
    assert np.array_equal(valid(digital_xray), expected)


@pytest.mark.parametrize("names", [COLLIMATOR, SHUTTER], ids=["collimator", "shutter"])
def test_polygon(names, digital_xray):
    setattr(digital_xray, names["shape"], "POLYGONAL")
    # The upper left half, below the diagonal from (1, 32) to (24, 1).
    setattr(digital_xray, names["vertices"], [1, 1, 1, 32, 24, 1])
    inside = (ROWS - 1) / 23 + (COLUMNS - 1) / 31
    result = valid(digital_xray)
    assert result[inside < 0.97].all()
    assert not result[inside > 1.03].any()


def test_concave_polygon_is_filled_by_the_even_odd_rule(digital_xray):
    digital_xray.CollimatorShape = "POLYGONAL"
    # An L: rows 4..20 by columns 4..10, and rows 15..20 by columns 4..28.
    digital_xray.VerticesOfThePolygonalCollimator = [4, 4, 4, 10, 15, 10, 15, 28, 20, 28, 20, 4]
    result = valid(digital_xray)
    assert result[9, 6]
    assert result[17, 20]
    assert not result[9, 20]
    assert not result[21, 6]
    assert abs(np.count_nonzero(result) - (16 * 6 + 5 * 18)) < 30


def test_two_shapes_and_a_shutter_leave_what_is_in_all_of_them(digital_xray):
    rectangle(digital_xray, COLLIMATOR, 1, 20, 1, 24)
    rectangle(digital_xray, SHUTTER, 6, 32, 3, 24)
    digital_xray.CollimatorShape = ["RECTANGULAR", "CIRCULAR"]
    digital_xray.CenterOfCircularCollimator, digital_xray.RadiusOfCircularCollimator = [12, 12], 9
    expected = (COLUMNS <= 20) & (COLUMNS >= 6) & (ROWS >= 3)
    expected &= np.hypot(ROWS - 12, COLUMNS - 12) <= 9
    assert np.array_equal(valid(digital_xray), expected)


def test_collimator_around_the_whole_image_leaves_all_of_it(digital_xray):
    rectangle(digital_xray, COLLIMATOR, 0, 33, 0, 25)
    assert valid(digital_xray) is None


@pytest.mark.parametrize(
    "edges",
    [(-184, 184, 1, 24), (1, 32, 10, 400), (20, 5, 1, 24), (1, 3, 1, 3), (1, 32, 7, 7)],
)
def test_rectangle_outside_the_image_or_too_small_is_ignored_with_a_warning(
    edges, digital_xray, caplog
):
    rectangle(digital_xray, COLLIMATOR, *edges)
    with caplog.at_level(logging.WARNING):
        assert valid(digital_xray) is None
    assert "(0018,1700) Collimator Shape" in caplog.text


@pytest.mark.parametrize(
    ("shape", "elements"),
    [
        ("CIRCULAR", {"CenterOfCircularShutter": [50, 16], "RadiusOfCircularShutter": 30}),
        ("CIRCULAR", {"CenterOfCircularShutter": [12, 16], "RadiusOfCircularShutter": 2}),
        ("CIRCULAR", {"CenterOfCircularShutter": [12, 16]}),
        ("POLYGONAL", {"VerticesOfThePolygonalShutter": [1, 1, 1, 20, 5]}),
        ("POLYGONAL", {"VerticesOfThePolygonalShutter": [1, 1, 1, 99, 24, 1]}),
        ("POLYGONAL", {}),
        ("BITMAP", {}),
        ("RECTANGULAR", {}),
    ],
)
def test_malformed_shutter_is_ignored_with_a_warning(shape, elements, digital_xray, caplog):
    digital_xray.ShutterShape = shape
    for keyword, value in elements.items():
        setattr(digital_xray, keyword, value)
    with caplog.at_level(logging.WARNING):
        assert valid(digital_xray) is None
    assert "(0018,1600) Shutter Shape" in caplog.text


def test_padding_is_not_valid(digital_xray):
    digital_xray.add_new("PixelPaddingValue", "US", 10)
    assert np.array_equal(valid(digital_xray), digital_xray.pixel_array != 10)
    digital_xray.add_new("PixelPaddingRangeLimit", "US", 3)
    stored = digital_xray.pixel_array
    assert np.array_equal(valid(digital_xray), (stored < 3) | (stored > 10))


def test_padding_of_signed_pixels_is_signed(digital_xray):
    values = np.arange(24 * 32, dtype=np.int16).reshape(24, 32) - 300
    digital_xray.PixelRepresentation = 1
    for vr, padding in (("SS", -300), ("US", 2**16 - 300)):
        digital_xray.add_new("PixelPaddingValue", vr, padding)
        assert np.array_equal(valid(with_pixels(digital_xray, values)), values != -300)


def test_padding_beyond_the_stored_bits_is_not_taken_for_saturation(digital_xray):
    container = np.full((24, 32), 4095, dtype=np.uint16)
    container[:, :4] = 65535
    digital_xray.add_new("PixelPaddingValue", "US", 65535)
    assert np.array_equal(valid(with_pixels(digital_xray, container)), COLUMNS > 4)


def test_image_of_nothing_but_padding_is_refused(digital_xray):
    digital_xray.add_new("PixelPaddingValue", "US", 0)
    digital_xray.add_new("PixelPaddingRangeLimit", "US", 4095)
    with pytest.raises(RadiographError, match="every pixel is padding"):
        read(save(digital_xray, "a.dcm"))
