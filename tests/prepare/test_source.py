from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from clinic_files import NUMBER, OWNER, PET, named_dataset, save

from radenhance.dicom.write import write_png
from radenhance.prepare.source import FoundFile, Rejected, Source, find_files, identify, reason


def identified(path):
    return identify(FoundFile(Path(path), Path(path).name))


@pytest.mark.parametrize("name", ["IM0001", "scan.dcm", "photo.png", "1.2.840.10008"])
def test_a_radiograph_is_known_by_its_content_whatever_its_name(name):
    source = identified(save(named_dataset("cat"), Path(name)))
    assert isinstance(source, Source)
    assert source.suffix == ".dcm"
    assert source.header.species == "cat"
    assert {OWNER.lower(), PET.lower(), NUMBER.lower()} <= source.identity


def test_images_without_a_header_get_the_suffix_of_their_content():
    image = np.zeros((70, 80), np.uint16)
    write_png(Path("a"), np.zeros((70, 80), np.float32))
    cv2.imwrite("b.tif", image)
    Path("b.tif").rename("b.png")
    np.save("c.npy", image)
    assert [identified(name).suffix for name in ("a", "b.png", "c.npy")] == [".png", ".tif", ".npy"]
    assert identified("a").identity == frozenset()


def test_the_species_is_read_from_its_code_where_the_text_is_unknown():
    dataset = named_dataset("cat")
    dataset.PatientSpeciesDescription = "Hauskönig"
    assert identified(save(dataset, Path("a"))).header.species == "cat"


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.2"),  # computed tomography
        ("Modality", "CT"),
    ],
)
def test_an_image_of_another_modality_is_rejected(keyword, value):
    dataset = named_dataset()
    setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    found = identified(save(dataset, Path("a.dcm")))
    assert isinstance(found, Rejected)
    assert len(found.sha256) == 64


@pytest.mark.parametrize("content", [b"", b"MZ" + bytes(300), b"%PDF-1.7", b"DICM", bytes(200)])
def test_a_file_that_is_no_radiograph_is_rejected_without_its_path(content):
    Path("Zorbax").mkdir()
    path = Path("Zorbax/letter.dcm")
    path.write_bytes(content)
    found = identified(path)
    assert isinstance(found, Rejected)
    assert "Zorbax" not in found.reason
    assert found.sha256


def test_a_file_that_cannot_be_opened_is_rejected_without_a_hash():
    found = identified("gone.dcm")
    assert isinstance(found, Rejected)
    assert found.sha256 == ""


def test_a_reason_names_the_file_and_not_the_way_to_it():
    path = Path("Zorbax/a.dcm")
    error = ValueError(f"{path}: is cut off; see {path}")
    assert reason(error, path) == "is cut off; see 'a.dcm'"


@pytest.mark.parametrize(
    ("raw", "target"),
    [
        ("raw/1.dcm", "target/1.png"),
        ("x/raw/1.dcm", "x/target/1"),
        ("RAW/x/1.DCM", "Target/x/1.tiff"),
        ("x/1.dcm", "x/1.npy"),
        ("raw/1.2.840.55", "target/1.2.840.55.dcm"),
    ],
)
def test_both_files_of_a_pair_have_one_key(raw, target):
    keys = [FoundFile(Path(name), name).key for name in (raw, target)]
    assert keys[0] == keys[1]


def test_files_of_other_folders_or_names_have_other_keys():
    names = ("x/raw/1.dcm", "y/raw/1.dcm", "x/raw/2.dcm", "raw/1.2.840.55", "raw/1.2.840.56")
    assert len({FoundFile(Path(name), name).key for name in names}) == len(names)


def test_files_are_found_in_order_and_hidden_ones_and_left_out_folders_are_not():
    for name in ("b/raw/2.dcm", "b/target/2.dcm", "a.dcm", ".hid/1", "b/.DS_Store", "out/raw/1"):
        Path("in", name).parent.mkdir(parents=True, exist_ok=True)
        Path("in", name).touch()
    found = find_files(Path("in"), leave_out=[Path("in/out")])
    assert [(file.name, file.role) for file in found] == [
        ("a.dcm", None),
        ("b/raw/2.dcm", "raw"),
        ("b/target/2.dcm", "target"),
    ]
    all_targets = find_files(Path("in"), role="target", leave_out=[Path("in/out")])
    assert all_targets == [replace(file, role="target") for file in found]
