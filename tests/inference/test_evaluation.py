"""A network and what needs none, on whole radiographs."""

from pathlib import Path

import numpy as np
import pytest
from evaluated import evaluated, write_network, write_pairs

from radenhance.datamodule import RadiographDataModule
from radenhance.dataset.pair import Pair
from radenhance.dicom.read import read
from radenhance.errors import ImageSizeError
from radenhance.inference.evaluation import (
    CLAHE,
    HIGHEST_PSNR,
    MEASURES,
    RAW,
    REFERENCE,
    TABLE,
    TARGET,
    TONE,
    better_way,
    enhanced_by,
    evaluate,
    num_by_reference,
    open_pair,
    ways_to_run,
)
from radenhance.inference.model import open_enhancer


@pytest.fixture
def network():
    return open_enhancer(write_network(Path("x.ckpt")))


def opened(root, **options):
    data = RadiographDataModule(root, num_workers=0, cache=False, **options)
    data.setup("evaluate")
    return data


def measured(network, root, *, splits=("train", "test"), trained=True, **options):
    data = opened(root, image_size="native", **options)
    on = data.whole_images("train") if trained else None
    return evaluate(data.whole_images(splits[-1]), {"network": network}, trained_on=on)


def test_every_method_has_every_measure_of_every_radiograph(network, tmp_path):
    found = measured(network, write_pairs(tmp_path / "d", ["train", "test", "test"]))
    assert list(found.values) == [RAW, TABLE, CLAHE, REFERENCE, "network", TARGET]
    assert all(
        list(found.values[name]) == list(MEASURES) for name in found.values if name != TARGET
    )
    assert {len(values) for of in found.values.values() for values in of.values()} == {2}
    assert [case.name for case in found.cases] == ["case 2", "case 3"]
    assert [case.species for case in found.cases] == ["dog", "cat"]


def test_a_curve_that_undoes_what_was_done_to_raw_images_is_found(network, tmp_path):
    found = measured(network, write_pairs(tmp_path / "d", ["train", "test"]))
    assert found.mean(TABLE, "mae").value < 0.01
    assert found.best_baseline("mae") == found.best_baseline("ms_ssim") == TABLE


def test_without_radiographs_that_train_a_fixed_curve_takes_the_place_of_the_table(
    network, tmp_path
):
    found = measured(network, write_pairs(tmp_path / "d", ["test"]), trained=False)
    assert TONE in found.values
    assert TABLE not in found.values


def test_the_reference_enhancer_is_left_out_where_it_made_a_target(network, tmp_path):
    found = measured(network, write_pairs(tmp_path / "d", ["train", "test"], reference=True))
    assert REFERENCE not in found.values


def test_targets_of_the_reference_enhancer_are_known_in_every_version():
    pairs = [Pair("a", "", "", "", "val", target_algo=name) for name in
             ("laplacian-power/1 default", "laplacian-power/2 bone", "clahe/1", "")]  # fmt: skip
    assert num_by_reference(pairs) == 2


def test_the_network_sees_what_it_sees_when_it_enhances(network, tmp_path):
    root = write_pairs(tmp_path / "d", ["test"])
    pair = open_pair(opened(root, image_size="native").whole_images("test"), 0)
    enhanced = enhanced_by(network, pair)
    assert np.array_equal(enhanced, network(read(root / "raw/case0.npy")))
    assert np.abs(enhanced - pair.raw).mean() > 0.01


def test_images_are_measured_at_the_size_asked_for(network, tmp_path):
    root = write_pairs(tmp_path / "d", ["test"], side=140)
    for size, shape in (("native", (140, 150)), (70, (70, 75))):
        data = opened(root, image_size=size)
        found = evaluate(data.whole_images("test"), {"network": network}, trained_on=None)
        assert found.cases[0].shape == shape


def test_an_image_that_no_network_takes_is_passed_over(network, tmp_path):
    root = write_pairs(tmp_path / "d", ["test"], side=31)
    found = measured(network, root, trained=False)
    (failure,) = found.failures
    assert (found.cases, found.values) == ([], {})
    assert failure.reason.startswith("the raw image has (31, 41) rows and columns")
    with pytest.raises(ImageSizeError, match=r"raw/case0\.npy has \(31, 41\) rows and columns"):
        open_pair(opened(root, image_size="native").whole_images("test"), 0)


def test_what_is_outside_the_field_is_black_in_the_image_of_each_method(network, tmp_path):
    root = write_pairs(tmp_path / "d", ["train", "test"])
    for half, dark in (("raw", 65535), ("target", 0)):  # a collimator to the left
        for path in (root / half).iterdir():
            pixels = np.load(path)
            pixels[:, :30] = dark
            np.save(path, pixels)
    dataset = opened(root, image_size="native", outside_field="black").whole_images("test")
    pair = open_pair(dataset, 0)
    assert pair.sample["field"][0, :, :28].max() == 0
    assert network.input["outside_field"] == "keep"
    for image in (pair.raw, enhanced_by(network, pair), pair.shuttered(np.ones_like(pair.raw))):
        assert image[:, :28].max() == 0
        assert image[:, 40:].max() > 0


def test_equal_images_have_a_finite_psnr(network, tmp_path):
    root = write_pairs(tmp_path / "d", ["test"])
    np.save(root / "raw/case0.npy", np.load(root / "target/case0.npy"))
    found = measured(network, root, trained=False, intensity_range="declared")
    assert found.mean(RAW, "psnr").value == HIGHEST_PSNR


def test_both_ways_to_run_a_network_are_compared_with_one_set_of_weights(network):
    both = ways_to_run(network, "network", "compare")
    assert {name: way.at for name, way in both.items()} == {
        "network (native)": "native",
        "network (enlarged)": "training",
    }
    assert all(way.network is network.network for way in both.values())
    assert network.at == "auto"
    assert ways_to_run(network, "n", "native")["n"].at == "native"


def test_radiographs_of_which_the_network_sees_less_are_known():
    found = evaluated({RAW: 0.5, "network": 0.9}, shape=(100, 120))
    assert found.reduced("network", "auto") == list(range(8))
    assert found.reduced("network", "native") == []
    assert evaluated({RAW: 0.5, "network": 0.9}, shape=(90, 90)).reduced("network", "auto") == []


def test_a_way_is_better_where_the_interval_of_the_differences_says_so():
    ways = {"network (native)": 0.8, "network (enlarged)": 0.9}
    found = evaluated({RAW: 0.5, **ways}, at="native")
    assert better_way(found, "network") == "training"
    swapped = dict(zip(ways, reversed(ways.values()), strict=True))
    assert better_way(evaluated({RAW: 0.5, **swapped}, at="native"), "network") == "native"
    few = evaluated({RAW: 0.5, **ways}, at="native", num_cases=2)
    assert better_way(few, "network") == "auto"
    small = evaluated({RAW: 0.5, **ways}, at="native", shape=(64, 64))
    assert better_way(small, "network") == "auto"


def test_groups_are_those_that_are_named():
    found = evaluated({RAW: 0.5, "network": 0.9}, num_cases=3, species=("dog", ""))
    assert found.groups("species") == {"dog": [0, 2], "unknown": [1]}
    assert found.groups("body_part") == {}


def test_differences_are_of_the_same_radiographs():
    found = evaluated({RAW: 0.5, "network": 0.8, "CLAHE": 0.7})
    assert found.difference("network", "CLAHE", "ssim").interval == pytest.approx((0.1, 0.1))
    assert found.difference("network", RAW, "ssim").interval != pytest.approx((0.3, 0.3))


def test_the_best_baseline_has_the_highest_figure_or_the_lowest_error():
    found = evaluated({RAW: 0.5, "CLAHE": 0.7, "network": 0.9})
    assert found.best_baseline("psnr") == "CLAHE"
    assert found.best_baseline("mae") == RAW
