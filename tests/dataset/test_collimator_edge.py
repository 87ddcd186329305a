import numpy as np
import pytest

from radenhance.dataset.collimator_edge import left_edge

SIDE = 400
X = np.arange(SIDE, dtype=np.float32)


def repeated(profile):
    noise = np.random.default_rng(0).normal(0, 0.003, (SIDE, SIDE))
    return (np.tile(profile, (SIDE, 1)) + noise).astype(np.float32)


def test_clean_cut_is_found_to_a_pixel_or_two():
    edge = left_edge(repeated(np.where(X < 100, 0.8, 0.2)))
    assert edge is not None
    assert 100 <= edge.c <= 103
    assert abs(edge.slope) < 0.01


def test_slope_of_a_tilted_cut_is_found():
    x, y = np.meshgrid(X, X)
    image = np.where(x - 0.2 * y < 60, 0.8, 0.2).astype(np.float32)
    edge = left_edge(image)
    assert edge is not None
    assert edge.slope == pytest.approx(0.2, abs=0.01)
    assert edge.c == pytest.approx(62, abs=3)


def test_step_the_other_way_is_no_left_edge():
    assert left_edge(repeated(np.where(X < 100, 0.2, 0.8))) is None


def test_slow_rise_of_a_skin_line_is_no_collimator():
    depth = np.clip(200 - X, 0, None)
    assert left_edge(repeated(0.1 + 0.6 * np.sqrt(depth / 200))) is None


def test_bone_with_soft_tissue_behind_is_no_collimator():
    assert left_edge(repeated(np.where((X > 80) & (X < 110), 0.8, 0.3))) is None


def test_structure_behind_makes_it_no_collimator():
    image = repeated(np.where(X < 150, 0.7, 0.2))
    ribs = 0.12 * np.sin(np.arange(SIDE) / 6)[:, None]
    image[:, :150] += ribs.astype(np.float32)
    assert left_edge(image) is None


def test_dark_area_behind_makes_it_no_collimator():
    image = repeated(np.where(X < 150, 0.7, 0.2))
    image[100:220, :90] = 0.2
    assert left_edge(image) is None


def test_faint_step_of_a_table_edge_is_no_collimator():
    image = repeated(np.where(X < 150, 0.25, 0.2))
    image[:, 300:] = 0.9
    assert left_edge(image) is None


def test_short_step_is_no_collimator():
    image = np.full((SIDE, SIDE), 0.2, np.float32)
    image[:60, :150] = 0.8
    assert left_edge(image) is None


def test_weak_edge_is_found_only_where_one_is_expected():
    scatter = 0.36 * np.exp(-np.clip(100 - X, 0, None) / 15)
    image = repeated(np.where(X < 100, 0.85 - scatter, 0.42))
    assert left_edge(image) is None
    edge = left_edge(image, parallel_to=0.0)
    assert edge is not None
    assert 100 <= edge.c <= 104
