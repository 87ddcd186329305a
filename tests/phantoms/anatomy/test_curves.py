import numpy as np

from radenhance.phantoms.anatomy.curves import closed_curve, corners, curve


def test_curves_pass_through_their_points():
    points = np.array([(0.0, 0.0), (3.0, 1.0), (4.0, 5.0), (9.0, 2.0)])
    np.testing.assert_allclose(curve(points, 7)[::2], points, atol=1e-12)
    np.testing.assert_allclose(closed_curve(points, 8)[::2], points, atol=1e-12)


def test_points_are_read_from_text():
    assert corners("0,0 3,1.5 4,-2") == [(0.0, 0.0), (3.0, 1.5), (4.0, -2.0)]
    assert corners("") == []


def test_a_curve_through_points_on_a_line_stays_on_it():
    found = curve([(0, 0, 1), (1, 2, 1), (3, 6, 1)], 20)
    np.testing.assert_allclose(found[:, 1], 2 * found[:, 0], atol=1e-12)
    np.testing.assert_allclose(found[:, 2], 1)


def test_a_curve_has_no_corner_at_its_points():
    found = curve([(0, 0), (1, 1), (2, 0), (3, 1)], 301)
    turns = np.diff(np.unwrap(np.arctan2(*np.diff(found, axis=0).T)))
    assert np.abs(turns).max() < 0.1


def test_a_closed_curve_ends_where_it_begins():
    points = corners("-4,-4 4,-4 4,4 -4,4")
    found = closed_curve(points, 400)
    steps = np.hypot(*np.diff(np.vstack([found, found[:1]]), axis=0).T)
    assert steps.max() < 3 * steps.min()
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-9)
