from pathlib import Path

import numpy as np
import pytest
import torch

from radenhance.dataset.cache import open_cache
from radenhance.dataset.decoded import Decoded
from radenhance.dataset.description import Declarations
from radenhance.dataset.manifest import read_manifest
from radenhance.dataset.normalize import exposure_shift
from radenhance.dataset.pairs import (
    Augmentation,
    PairDataset,
    collate,
    draw_seed,
    with_lower_dose,
)
from radenhance.dataset.prediction import RadiographFiles, output_names
from radenhance.dicom.declaration import Declaration
from radenhance.errors import DatasetError, ImageSizeError

LINEAR = Declarations(raw=Declaration(relationship="LIN"))


def dataset(root, **options):
    return PairDataset(root, read_manifest(root), **({"image_size": "native"} | options))


def index_of(root, case):
    return [pair.case_id for pair in read_manifest(root)].index(case)


def test_sixteen_bits_reach_the_tensor(tiny_dataset):
    values = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    for folder in ("raw", "target"):
        np.save(tiny_dataset / folder / "case6.npy", values)
    sample = dataset(tiny_dataset, auto_range=False)[index_of(tiny_dataset, "case6")]
    assert sample["raw"].unique().numel() == 2**16
    assert sample["target"].unique().numel() == 2**16


def test_a_sample_is_two_images_of_one_channel_and_the_raw_files_path(tiny_dataset):
    sample = dataset(tiny_dataset)[0]
    assert sample.keys() == {"raw", "target", "case"}
    assert sample["raw"].shape == sample["target"].shape == (1, 70, 80)
    assert sample["raw"].dtype == sample["target"].dtype == torch.float32
    assert sample["case"] == "case 1"


def test_auto_range_stretches_raw_to_all_of_the_scale_and_leaves_the_target_alone(tiny_dataset):
    auto, declared = (dataset(tiny_dataset, auto_range=auto)[0] for auto in (True, False))
    assert (declared["raw"].min(), declared["raw"].max()) == pytest.approx((0.25, 0.75), abs=0.01)
    assert (auto["raw"].min(), auto["raw"].max()) == (0, 1)
    assert torch.equal(auto["target"], declared["target"])


def test_a_crop_has_the_brightness_that_it_has_in_the_image(tiny_dataset):
    whole = dataset(tiny_dataset)[0]["raw"][0].numpy()
    crops = dataset(tiny_dataset, augmentation=Augmentation(20, moves=False))
    places = np.lib.stride_tricks.sliding_window_view(whole, (20, 20)).reshape(-1, 400)
    for epoch in range(5):
        crop = crops[(epoch, 0)]["raw"].numpy().reshape(400)
        assert np.abs(places - crop).max(axis=1).min() < 1e-6


def test_epochs_draw_differently(tiny_dataset):
    drawn = dataset(tiny_dataset, image_size=64, augmentation=Augmentation(48))
    assert not torch.equal(drawn[(0, 0)]["raw"], drawn[(1, 0)]["raw"])
    assert torch.equal(drawn[(1, 0)]["raw"], drawn[(1, 0)]["raw"])


def test_no_two_draws_of_a_run_share_a_seed():
    seeds = {draw_seed(s, e, i) for s in range(3) for e in range(40) for i in range(60)}
    assert len(seeds) == 3 * 40 * 60


def test_another_exposure_shifts_a_linear_raw_image_and_nothing_else(tiny_dataset):
    still = Augmentation(None, moves=False)
    jitter = Augmentation(None, moves=False, exposure=0.5)
    options = {"auto_range": False, "declarations": LINEAR}
    plain = dataset(tiny_dataset, augmentation=still, **options)
    jittered = dataset(tiny_dataset, augmentation=jitter, **options)
    bound = exposure_shift(2**-0.5, bits=16)
    shifts = []
    for epoch in range(20):
        one, other = plain[(epoch, 0)], jittered[(epoch, 0)]
        shift = other["raw"] - one["raw"]
        assert torch.equal(one["target"], other["target"])
        assert shift.std() < 1e-6
        shifts.append(float(shift.mean()))
    assert -bound <= min(shifts) < 0 < max(shifts) <= bound


def test_a_logarithmic_raw_image_keeps_its_exposure(tiny_dataset):
    still, jitter = (Augmentation(None, moves=False, exposure=e) for e in (0.0, 0.5))
    one, other = (dataset(tiny_dataset, augmentation=a)[(3, 0)] for a in (still, jitter))
    assert torch.equal(one["raw"], other["raw"])


@pytest.mark.parametrize("image_size", ["native", 50])
@pytest.mark.parametrize("crop", [None, 32])
def test_raw_and_target_stay_aligned_on_their_whole_way(tiny_dataset, image_size, crop):
    """In the tiny dataset raw is an affine map of target, and every step must keep it."""
    drawn = dataset(
        tiny_dataset, image_size=image_size, auto_range=False, augmentation=Augmentation(crop)
    )
    for epoch in range(4):
        for index in range(len(drawn)):
            sample = drawn[(epoch, index)]
            expected = (16384 + sample["target"] * 65535 / 2) / 65535
            assert torch.allclose(sample["raw"], expected, atol=1e-4)


@pytest.mark.parametrize("augmentation", [None, Augmentation(40)])
@pytest.mark.parametrize("image_size", ["native", 50])
def test_samples_out_of_a_cache_are_those_of_the_files(tiny_dataset, image_size, augmentation):
    options = {"image_size": image_size, "augmentation": augmentation, "declarations": LINEAR}
    plain = dataset(tiny_dataset, **options)
    cached = dataset(tiny_dataset, cache=open_cache(tiny_dataset, True), **options)
    for _ in ("cold", "warm"):
        for index in range(len(plain)):
            one, other = plain[(1, index)], cached[(1, index)]
            assert torch.equal(one["raw"], other["raw"])
            assert torch.equal(one["target"], other["target"])


def test_images_of_different_size_are_refused_by_name(tiny_dataset):
    np.save(tiny_dataset / "target/case6.npy", np.zeros((70, 80), np.uint16))
    message = r"raw/case6.npy has \(76, 80\) rows and columns, target/case6.npy \(70, 80\)"
    with pytest.raises(DatasetError, match=message):
        dataset(tiny_dataset)[index_of(tiny_dataset, "case6")]


def test_an_image_smaller_than_the_crop_is_told_the_largest_crop(tiny_dataset):
    with pytest.raises(ImageSizeError, match="crops of 72 pixels; set .*crop_size to at most 70"):
        dataset(tiny_dataset, augmentation=Augmentation(72))[0]


def test_a_batch_of_images_of_different_size_is_refused_with_the_remedies(tiny_dataset):
    samples = [dataset(tiny_dataset)[i] for i in (0, 1)]
    with pytest.raises(ImageSizeError, match=r"\(70, 80\), \(71, 80\); set .*batch_size=1"):
        collate(samples)
    assert collate(samples[:1])["raw"].shape == (1, 1, 70, 80)


def test_a_radiograph_to_enhance_is_what_the_network_saw_in_training(tiny_dataset):
    path = tiny_dataset / "raw/case0.npy"
    options = {"image_size": 50, "at": "training", "declaration": LINEAR.raw}
    sample = RadiographFiles([path], **options)[0]
    trained = dataset(tiny_dataset, image_size=50, declarations=LINEAR)[0]
    assert torch.equal(sample["reduced"], trained["raw"])
    assert sample["raw"].shape == (1, 70, 80)
    assert (sample["case"], sample["name"]) == ("case 1", "case0")


def test_no_prediction_overwrites_another():
    files = ["exam1/a.dcm", "exam2/a.dcm", "exam2/a.png", "exam2/1.2.840.113", "exam2/b"]
    assert output_names([Path("in") / file for file in files]) == [
        "exam1/a",
        "exam2/a.dcm",
        "exam2/a.png",
        "exam2/1.2.840.113",
        "exam2/b",
    ]
    assert output_names([Path("in/exam1/a.dcm")]) == ["a"]


@pytest.mark.parametrize(("relationship", "changes"), [("LIN", True), ("LOG", False)])
def test_the_dose_goes_down_where_the_detector_is_linear(relationship, changes):
    """A pixel of an image reduced to half has the quanta of four, and a quarter of the variance."""
    unit = np.full((200, 200), 0.5, np.float32)
    variances = []
    for native in ((200, 200), (400, 400)):
        raw = Decoded(unit, 14, relationship, (0.0, 1.0), (0, 0, *native), native)
        noisy = with_lower_dose(unit, raw, Augmentation(dose=2, full_scale_quanta=1e5), seed=1)
        variances.append(noisy.var())
    assert (variances[0] > 0) == changes
    if changes:
        assert variances[1] == pytest.approx(variances[0] / 4, rel=0.05)
