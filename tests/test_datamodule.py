import re
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from radiograph_scenes import collimator, limb
from small_checkpoint import small_content

from radenhance.cli import main
from radenhance.datamodule import FOLD, RadiographDataModule, radiographs_in, same_fold
from radenhance.dataset.field import OPAQUE
from radenhance.dataset.manifest import listed_pairs, write_manifest
from radenhance.errors import DatasetError, ImageSizeError, ParameterError


def module(root, **options):
    data = RadiographDataModule(root=root, **({"image_size": 64, "num_workers": 0} | options))
    data.setup("fit")
    return data


def test_training_batches_are_square_and_validation_images_whole(tiny_dataset):
    data = module(tiny_dataset, batch_size=3)
    assert [b["raw"].shape for b in data.train_dataloader()] == 2 * [(3, 1, 64, 64)]
    assert [b["raw"].shape for b in data.val_dataloader()] == [(1, 1, 64, 67), (1, 1, 64, 66)]


def test_raw_and_target_stay_together(tiny_dataset):
    """In the tiny dataset raw is an affine map of target, and every augmentation must keep it."""
    data = module(tiny_dataset, batch_size=1, intensity_range="declared")
    for batch in data.train_dataloader():
        expected = (16384 + batch["target"] * 65535 / 2) / 65535
        assert torch.allclose(batch["raw"], expected, atol=1e-4)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_seed_alone_decides_what_is_drawn_with_and_without_workers(tiny_dataset, num_workers):
    def epoch(seed, workers):
        data = module(tiny_dataset, seed=seed, num_workers=workers)
        return torch.cat([batch["raw"] for batch in data.train_dataloader()])

    assert torch.equal(epoch(1, num_workers), epoch(1, 0))
    assert not torch.equal(epoch(1, num_workers), epoch(2, 0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 0}, "image_size is 0, expected native or at least 1"),
        ({"crop_size": -4}, "crop_size is -4, expected at least 1"),
        ({"batch_size": 0}, "batch_size is 0, expected at least 1"),
        ({"num_workers": -1}, "num_workers is -1, expected at least 0"),
    ],
)
def test_a_number_that_is_too_small_is_refused_by_name(options, message):
    with pytest.raises(ParameterError, match=f"^RadiographDataModule.{message}$"):
        RadiographDataModule(**options)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"RadiographDataModule\.root .*nowhere: no such folder"):
        module(tmp_path / "nowhere")


def test_a_split_without_a_pair_is_refused_before_anything_runs(tiny_dataset):
    data = RadiographDataModule(root=tiny_dataset)
    with pytest.raises(DatasetError, match=r"no pair in split test; mark some of its 8 pairs"):
        data.setup("test")


def test_a_checkpoint_is_told_the_size_and_range_of_the_input(tiny_dataset):
    data = RadiographDataModule(root=tiny_dataset, image_size=96, intensity_range="declared")
    assert data.hparams == {
        "image_size": 96,
        "intensity_range": "declared",
        "outside_field": "auto",
        "predict_at": "auto",
    }


def collimated_dataset(root, *, black):
    """Three pairs with a collimator, whose targets are black outside, or not."""
    for i in range(3):
        passes = collimator(128, margin=0.2)
        raw = limb(128, blocked=passes, seed=i)
        target = raw * (passes > 0.5) if black else raw
        for half, image in (("raw", raw), ("target", target)):
            (root / half).mkdir(parents=True, exist_ok=True)
            stored = (image.clip(0, 1) * 65535).astype(np.uint16)
            np.save(root / half / f"{i}.npy", stored)
    return root


@pytest.mark.parametrize(("black", "found"), [(True, "black"), (False, "keep")])
def test_whether_targets_are_black_outside_the_field_is_found_and_told_the_checkpoint(
    tmp_path, black, found
):
    data = module(collimated_dataset(tmp_path / "set", black=black), val_fraction=0.34)
    assert data.outside_field == found
    assert data.hparams["outside_field"] == found


@pytest.mark.parametrize("augment", [True, False])
def test_the_raw_image_is_black_where_its_field_is_not(tmp_path, augment):
    root = collimated_dataset(tmp_path / "set", black=True)
    data = module(root, val_fraction=0.34, augment=augment, outside_field="black")
    for batch in (*data.train_dataloader(), *data.val_dataloader()):
        outside = batch["field"] == 0
        assert 0.2 < outside.float().mean() < 0.9
        assert not batch["raw"][outside].any()
        assert batch["raw"][batch["field"] == OPAQUE].mean() > 0.1
    kept = next(iter(module(root, val_fraction=0.34, outside_field="keep").val_dataloader()))
    assert "field" not in kept
    (root / "dataset.yaml").write_text("outside_field: keep\n")
    assert module(root, val_fraction=0.34).outside_field == "keep"


def test_radiographs_to_predict_are_blackened_as_those_of_training_were(tmp_path):
    root = collimated_dataset(tmp_path / "set", black=True)
    data = RadiographDataModule(
        root, image_size=128, num_workers=0, outside_field="black", predict_from=root / "raw"
    )
    data.setup("predict")
    batch = next(iter(data.predict_dataloader()))
    assert not batch["raw"][batch["field"] == 0].any()


def test_a_named_folder_is_never_filled_with_synthetic_radiographs(tmp_path):
    RadiographDataModule(root=tmp_path / "mine").prepare_data()
    assert not (tmp_path / "mine").exists()


def test_predictions_are_read_as_training_read_its_raw_images(tiny_dataset):
    (tiny_dataset / "dataset.yaml").write_text("raw: {bone: dark}\n")
    data = RadiographDataModule(
        root=tiny_dataset,
        image_size=64,
        num_workers=0,
        predict_from=tiny_dataset / "raw",
        predict_at="training",
        log_names=True,
    )
    data.setup("predict")
    predicted = {batch["name"][0]: batch["reduced"] for batch in data.predict_dataloader()}
    data.setup("validate")
    for batch in data.val_dataloader():
        (case,) = batch["case"]
        assert torch.equal(predicted[Path(case).stem], batch["raw"])


def cases(data):
    data.setup("fit")
    loaders = data.train_dataloader(), data.val_dataloader()
    return sorted(case for loader in loaders for batch in loader for case in batch["case"])


def test_cases_are_counted_as_the_manifest_lists_them_whatever_is_used_of_it(tiny_dataset):
    pairs = listed_pairs(tiny_dataset)
    write_manifest(
        tiny_dataset, [replace(pair, accept=int(i != 2)) for i, pair in enumerate(pairs)]
    )
    assert cases(module(tiny_dataset)) == [f"case {i}" for i in (1, 2, 4, 5, 6, 7, 8)]
    assert cases(module(tiny_dataset, log_names=True)) == [
        f"raw/case{i}.npy" for i in (0, 1, 3, 4, 5, 6, 7)
    ]


def test_without_a_manifest_cases_are_counted_as_their_files_are_sorted(tiny_dataset):
    (tiny_dataset / "pairs.csv").unlink()
    assert cases(module(tiny_dataset)) == [f"case {i}" for i in range(1, 9)]


def test_without_augmentation_training_sees_plain_crops(tiny_dataset):
    data = module(tiny_dataset, augment=False, crop_size=32)
    windows = {
        window.tobytes()
        for sample in data._dataset("train")
        for window in np.lib.stride_tricks.sliding_window_view(
            sample["target"][0].numpy(), (32, 32)
        ).reshape(-1, 32, 32)
    }
    for batch in data.train_dataloader():
        assert batch["target"][0, 0].numpy().tobytes() in windows


def test_native_images_are_not_resampled(tiny_dataset):
    data = module(tiny_dataset, image_size="native")
    assert [b["raw"].shape[-2:] for b in data.val_dataloader()] == [(76, 80), (77, 80)]


def test_an_image_smaller_than_the_crop_is_refused(tiny_dataset):
    data = module(tiny_dataset, image_size="native", crop_size=72)
    with pytest.raises(ImageSizeError, match=r"too few for crops of 72 pixels.*at most 7[01]"):
        list(data.train_dataloader())


def test_without_a_manifest_pairs_are_found_and_split(tiny_dataset):
    (tiny_dataset / "pairs.csv").unlink()
    data = module(tiny_dataset, val_fraction=0.25)
    assert sorted(p.split for p in data.pairs) == 6 * ["train"] + 2 * ["val"]


def test_image_and_target_are_read_as_the_dataset_declares(tiny_dataset):
    (tiny_dataset / "dataset.yaml").write_text("raw: {bone: dark}\ntarget: {bone: dark}\n")
    inverted = module(tiny_dataset, intensity_range="declared").val_dataloader()
    (tiny_dataset / "dataset.yaml").unlink()
    plain = module(tiny_dataset, intensity_range="declared").val_dataloader()
    for one, other in zip(inverted, plain, strict=True):
        for half in ("raw", "target"):
            assert torch.allclose(one[half], 1 - other[half], atol=1e-5)


def everything(data, epochs=2):
    batches = [batch for _ in range(epochs) for batch in data.train_dataloader()]
    return [
        batch[half] for half in ("raw", "target") for batch in [*batches, *data.val_dataloader()]
    ]


@pytest.mark.parametrize(
    "options",
    [{}, {"image_size": 48, "crop_size": 40}, {"image_size": "native", "crop_size": 32}],
)
@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_cache_changes_no_bit(tiny_dataset, options, num_workers):
    expected = everything(module(tiny_dataset, cache=False, **options))
    for _ in ("cold", "warm"):
        found = everything(module(tiny_dataset, num_workers=num_workers, **options))
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert len(list((tiny_dataset / ".cache").glob("*.npy"))) == 16


def test_a_warm_cache_stands_in_for_decoding(tiny_dataset, monkeypatch):
    options = {"image_size": "native", "crop_size": 32}
    everything(module(tiny_dataset, **options))

    def fail(path, **options):
        raise AssertionError(f"{path} was decoded again")

    monkeypatch.setattr("radenhance.dataset.cache.decode", fail)
    everything(module(tiny_dataset, **options))
    with pytest.raises(AssertionError):
        everything(module(tiny_dataset, image_size=50))


def test_no_cache_leaves_the_folder_alone_and_another_place_is_used(tiny_dataset, tmp_path):
    everything(module(tiny_dataset, cache=False))
    assert not (tiny_dataset / ".cache").exists()
    everything(module(tiny_dataset, cache=tmp_path / "elsewhere"))
    assert not (tiny_dataset / ".cache").exists()
    assert len(list((tmp_path / "elsewhere").glob("*.npy"))) == 16


def test_a_changed_file_is_seen_at_the_next_epoch(tiny_dataset):
    data = module(tiny_dataset, intensity_range="declared")
    everything(data)
    np.save(tiny_dataset / "target/case6.npy", np.full((76, 80), 65535, np.uint16))
    whole = [batch["target"] for batch in data.val_dataloader()]
    assert whole[0].min() > 0.999


def test_nothing_to_enhance_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"predict needs RadiographDataModule\.predict_from"):
        radiographs_in(None)
    with pytest.raises(DatasetError, match="no radiographs below it"):
        radiographs_in(tmp_path)


def test_radiographs_of_a_folder_are_found_below_it_and_hidden_files_are_not(tmp_path):
    for name in ("b.dcm", "sub/a.PNG", ".hidden.dcm", ".cache/0.npy", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in radiographs_in(tmp_path)]
    assert found == ["b.dcm", "sub/a.PNG"]


def printed_config(capsys, *arguments):
    with pytest.raises(SystemExit):
        main([*arguments, "--print_config"])
    return capsys.readouterr().out


def test_a_config_file_with_the_former_name_of_intensity_range_is_read(tmp_path, capsys):
    (tmp_path / "config.yaml").write_text("data:\n  window: declared\n")
    assert "intensity_range: declared" in printed_config(capsys, "fit", "--config=config.yaml")
    override = printed_config(capsys, "fit", "--config=config.yaml", "--data.intensity_range=auto")
    assert "intensity_range: auto" in override


@pytest.mark.parametrize("name", ["window", "intensity_range"])
def test_a_checkpoint_says_what_range_its_network_expects(tmp_path, capsys, name):
    content = small_content()
    content["datamodule_hyper_parameters"] = {"image_size": 96, name: "declared"}
    torch.save(content, tmp_path / "a.ckpt")
    config = printed_config(capsys, "validate", "--ckpt_path=a.ckpt")
    assert "intensity_range: declared" in config
    assert "image_size: 96" in config


def test_a_fit_that_goes_on_with_other_data_says_so_and_goes_on(tiny_flags, tiny_dataset):
    assert main(["fit", *tiny_flags, "--trainer.max_steps=1"]) == 0
    for half in ("raw", "target"):
        np.save(tiny_dataset / half / "case0.npy", np.arange(8100, dtype=np.uint16).reshape(90, 90))
    with pytest.warns(UserWarning, match="have changed since the checkpoint was written"):
        assert main(["fit", *tiny_flags, "--ckpt_path=last", "--trainer.max_steps=2"]) == 0


@pytest.mark.parametrize(("stage", "says_so"), [("fit", True), ("validate", False)])
def test_only_a_fit_compares_its_data_with_what_a_checkpoint_says(tiny_dataset, stage, says_so):
    data = module(tiny_dataset)
    data.trainer = SimpleNamespace(state=SimpleNamespace(fn=stage))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        for state in ({}, module(tiny_dataset).state_dict()):
            data.load_state_dict(state)
        assert not found
        data.load_state_dict({"fingerprint": "other"})
    assert bool(found) == says_so


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dose_jitter": -1.0}, "dose_jitter is -1.0, expected a number from 0 to 6"),
        ({"dose_jitter": float("nan")}, "dose_jitter is nan, expected"),
        ({"dose_jitter": 2.0}, "full_scale_quanta is None, expected a number above 0"),
        ({"full_scale_quanta": 0.0}, "full_scale_quanta is 0.0, expected a number above 0"),
    ],
)
def test_a_lower_dose_needs_quanta_to_take_away_from(settings, message):
    with pytest.raises(ParameterError, match=re.escape(f"RadiographDataModule.{message}")):
        RadiographDataModule(**settings)


def test_an_evaluation_takes_whole_images_of_the_split_that_it_asks_for(tiny_dataset):
    data = RadiographDataModule(tiny_dataset, image_size="native", num_workers=0, cache=False)
    data.setup("evaluate")
    images = data.whole_images("train")
    assert [tuple(sample["raw"].shape) for sample in images] == [(1, 70 + i, 80) for i in range(6)]
    with pytest.raises(DatasetError, match="no pair in split test"):
        data.whole_images("test")


def test_a_dataset_without_an_accepted_pair_says_so_when_its_images_are_asked_for(tiny_dataset):
    pairs = [replace(pair, accept=0) for pair in listed_pairs(tiny_dataset)]
    write_manifest(tiny_dataset, pairs)
    data = RadiographDataModule(tiny_dataset, cache=False)
    data.setup("evaluate")
    with pytest.raises(DatasetError, match="no pair in split val"):
        data.whole_images("val")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_folds": 1, "fold": 1}, "num_folds is 1, expected at least 2"),
        ({"num_folds": 5}, "fold is None, expected the fold that validates, 1 to 5"),
        ({"num_folds": 5, "fold": 6}, "fold is 6, expected the fold that validates, 1 to 5"),
        ({"num_folds": 5, "fold": 0}, "fold is 0, expected the fold that validates, 1 to 5"),
        ({"fold": 2}, "num_folds is None, expected a number of folds, as .*fold is 2"),
    ],
)
def test_a_fold_that_is_none_is_refused_by_name(options, message):
    with pytest.raises(ParameterError, match=f"^RadiographDataModule.{message}$"):
        RadiographDataModule(**options)


def test_a_fold_takes_the_place_of_the_manifests_splits_and_numbers_of_cases_stay(tiny_dataset):
    validated = [
        batch["case"][0]
        for fold in (1, 2, 3)
        for batch in module(tiny_dataset, num_folds=3, fold=fold).val_dataloader()
    ]
    assert sorted(validated) == [f"case {i}" for i in range(1, 9)]


def test_a_fold_is_found_again_in_the_same_patients_alone(tiny_dataset, caplog):
    noted = module(tiny_dataset, num_folds=4, fold=2, fold_seed=7).state_dict()[FOLD]
    assert same_fold(tiny_dataset, None) == {}
    assert same_fold(tiny_dataset, noted) == {"num_folds": 4, "fold": 2, "fold_seed": 7}
    assert caplog.text == ""
    pairs = listed_pairs(tiny_dataset)
    for others in ([*pairs[:-1], replace(pairs[-1], patient_id="another")], pairs[:3]):
        write_manifest(tiny_dataset, others)
        caplog.clear()
        assert same_fold(tiny_dataset, noted) == {}
        assert "unless this is another dataset, it has trained on some of them" in caplog.text
