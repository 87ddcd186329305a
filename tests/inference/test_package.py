"""What a package says of a model, and that it gives what the checkpoint gives, bit for bit."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from small_checkpoint import small_coarse_content
from small_package import in_folder, small_checkpoint, small_files, with_metadata, with_section

from radenhance.checkpoint import Checkpoint
from radenhance.datamodule import RadiographDataModule
from radenhance.dataset.manifest import listed_pairs, write_manifest
from radenhance.dicom.read import read
from radenhance.enhancer import ContrastEnhancer
from radenhance.errors import RadenhanceError, UsageError
from radenhance.inference import package
from radenhance.inference.card import Maker
from radenhance.inference.model import open_enhancer
from radenhance.inference.package import check_package, make_package
from radenhance.package_file import CARD, METADATA, SECTION, WEIGHTS

MANDATORY = {
    "version",
    "monai_version",
    "pytorch_version",
    "numpy_version",
    "optional_packages_version",
    "task",
    "description",
    "authors",
    "copyright",
    "network_data_format",
}
"""Keys of the specification of MONAI's bundles."""

OF_TENSOR = {
    *("type", "format", "modality", "num_channels", "spatial_shape", "dtype", "value_range"),
    *("is_patch_data", "channel_def"),
}


def test_metadata_have_what_the_specification_of_bundles_asks_for():
    metadata = json.loads(small_files()[METADATA])
    assert metadata.keys() >= MANDATORY
    ends = metadata["network_data_format"]
    assert ends.keys() == {"inputs", "outputs"}
    for tensor in (ends["inputs"]["image"], ends["outputs"]["pred"]):
        assert tensor.keys() == OF_TENSOR
        assert tensor["value_range"] == [0, 1]
        assert "bone" in tensor["channel_def"]["0"]


def test_a_package_gives_the_pixels_of_its_checkpoint_bit_for_bit(tiny_dataset):
    checkpoint = small_checkpoint("small.ckpt")
    radiograph = read(tiny_dataset / "raw/case0.npy")
    expected = open_enhancer(checkpoint, device="cpu")(radiograph)
    sections = []
    for path in (Path("made"), Path("made.zip")):
        sections.append(make_package(checkpoint, path))
        enhancer = open_enhancer(path, device="cpu")
        assert np.array_equal(enhancer(radiograph), expected)
        assert sections[-1]["weights_sha256"] in enhancer.description
        assert check_package(path) == (0, True)
    assert sections[0] == sections[1]


def test_a_package_of_a_package_is_the_same_but_for_where_it_is_from():
    make_package(small_checkpoint("small.ckpt"), Path("first.zip"))
    make_package(Path("first.zip"), Path("second.zip"))
    first, second = (json.loads(_inside(name, METADATA)) for name in ("first.zip", "second.zip"))
    hashes = [one[SECTION].pop("checkpoint_sha256") for one in (first, second)]
    assert first == second
    assert hashes[1] == first[SECTION]["weights_sha256"]
    make_package(Path("second.zip"), Path("third.zip"))
    assert Path("third.zip").read_bytes() == Path("second.zip").read_bytes()


def _inside(archive, name):
    with zipfile.ZipFile(archive) as opened:
        return opened.read(name)


def test_a_coarse_correction_goes_along():
    content = small_coarse_content()
    torch.save(content, "coarse.ckpt")
    make_package(Path("coarse.ckpt"), Path("made"))
    assert Checkpoint.open(Path("made")).coarse == content["hyper_parameters"]["coarse"]
    assert "model.coarse" in (Path("made") / CARD).read_text()


def test_measures_are_those_of_validate_and_counts_those_of_the_manifest(tiny_dataset):
    pairs = listed_pairs(tiny_dataset)
    named = ["cat", "cat", "dog", "dog", "turtle", "dog", "cat", "Quillfeather's pet"]
    write_manifest(tiny_dataset, [replace(p, species=s) for p, s in zip(pairs, named, strict=True)])
    checkpoint = small_checkpoint("small.ckpt")
    section = make_package(checkpoint, Path("made"), dataset=tiny_dataset)
    assert section["data"] == {
        "train": {"cat": 2, "dog": 3, "turtle": 1},
        "val": {"cat": 1, "other": 1},
    }
    opened = Checkpoint.open(checkpoint)
    data = RadiographDataModule(tiny_dataset, num_workers=0, **opened.input)
    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    (expected,) = trainer.validate(ContrastEnhancer.from_checkpoint(opened), data, verbose=False)
    whole = section["measures"]["all"]
    for name, key in package.MEASURES.items():
        assert whole[name]["enhanced"] == pytest.approx(expected[f"val/{key}"], abs=1e-5)
        assert whole[name]["raw"] == pytest.approx(expected[f"identity/{key}"], abs=1e-5)
    means = [section["measures"][one]["mae"]["enhanced"] for one in ("cat", "other")]
    assert whole["mae"]["enhanced"] == pytest.approx(np.mean(means), abs=2e-6)
    card = (Path("made") / CARD).read_text()
    assert "| val | 1 | 0 | 1 | 0 |" in card
    assert "Not a medical device" in card
    assert "Quillfeather" not in card + (Path("made") / METADATA).read_text()


def test_an_image_that_equals_its_target_is_measured_without_infinite_decibels(tiny_dataset):
    for target in (tiny_dataset / "target").iterdir():
        np.save(tiny_dataset / "raw" / target.name, np.load(target))
    content = torch.load(small_checkpoint("small.ckpt"), weights_only=True)
    content["datamodule_hyper_parameters"]["intensity_range"] = "declared"
    torch.save(content, "small.ckpt")
    section = make_package(Path("small.ckpt"), Path("made"), dataset=tiny_dataset)
    assert section["measures"]["all"]["psnr_db"]["raw"] is None
    assert "| equal |" in (Path("made") / CARD).read_text()


def test_texts_of_the_maker_are_text_and_nothing_else():
    maker = Maker("Knee | *net*", version="2", authors="<b>Ann</b>", data_source="Own images")
    make_package(small_checkpoint("small.ckpt"), Path("made"), maker=maker)
    card = (Path("made") / CARD).read_text()
    assert "# Knee \\| \\*net\\*" in card
    assert "<b>" not in card
    metadata = json.loads((Path("made") / METADATA).read_text())
    assert (metadata["name"], metadata["version"]) == ("Knee | *net*", "2")
    assert metadata["authors"] == "<b>Ann</b>"


def test_no_path_is_in_a_package():
    folder = Path("of Quillfeather")
    folder.mkdir()
    checkpoint = small_checkpoint(folder / "Zorbax.ckpt")
    make_package(checkpoint, folder / "model of Zorbax")
    for path in (folder / "model of Zorbax").iterdir():
        content = path.read_bytes()
        for trace in ("Quillfeather", "Zorbax", str(Path.cwd()), str(Path.home())):
            assert trace.encode() not in content


@pytest.mark.parametrize("name", ["made", "made.zip"])
def test_what_is_there_already_is_never_replaced(name):
    Path(name).write_text("mine")
    with pytest.raises(UsageError, match=f"{name} exists already"):
        make_package(small_checkpoint("small.ckpt"), Path(name))
    assert Path(name).read_text() == "mine"


def test_a_package_that_would_give_something_else_is_not_written(monkeypatch):
    monkeypatch.setattr(package, "save", lambda state: small_files()[WEIGHTS])
    content = torch.load(small_checkpoint("small.ckpt"), weights_only=True)
    content["state_dict"]["unet.segmentation_head.0.bias"] += 1
    torch.save(content, "other.ckpt")
    with pytest.raises(RadenhanceError, match="was not written"):
        make_package(Path("other.ckpt"), Path("made"))
    assert [path.name for path in Path().iterdir() if "ckpt" not in path.name] == []


def other_output(change):
    return with_metadata(lambda metadata: change(metadata[SECTION]["checks"]["probe"]))


def test_a_package_that_gives_another_image_than_it_says_is_found():
    def moved(probe):
        probe["block_means"][7] += 0.01

    with pytest.raises(UsageError, match="a mean differs by 0.01, expected at most 0.001"):
        check_package(in_folder(other_output(moved), "made"))


def test_an_image_that_differs_in_its_last_bits_passes_and_is_said_to_differ():
    def moved(probe):
        probe["block_means"][7] += 1e-5
        probe["output_sha256"] = "0" * 64

    difference, is_equal = check_package(in_folder(other_output(moved), "made"))
    assert difference == pytest.approx(1e-5, rel=0.1)
    assert not is_equal


@pytest.mark.parametrize(
    "checks",
    [
        None,
        {},
        {"probe": []},
        {"probe": {"block_means": [0.5]}},
        {"probe": {"block_means": ["x"] * 96}},
    ],
)
def test_checks_of_another_form_are_refused(checks):
    with pytest.raises(UsageError, match="cannot be checked"):
        check_package(in_folder(with_section(checks=checks), "made"))


def test_a_fit_starts_from_its_weights(tiny_dataset):
    made = in_folder(small_files(), "made")
    module = ContrastEnhancer("tu-mobilenetv3_small_050", num_scales="auto", weights=made)
    state = Checkpoint.open(made).content["state_dict"]
    assert all(torch.equal(module.state_dict()[name], state[name]) for name in state)
