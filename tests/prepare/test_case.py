import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clinic_files import named_dataset, save

from radenhance.dataset.description import Declarations
from radenhance.dataset.field import find_field
from radenhance.dataset.normalize import normalize
from radenhance.dicom.declaration import Declaration
from radenhance.dicom.read import read
from radenhance.dicom.write import write_png
from radenhance.errors import UsageError
from radenhance.prepare import case as case_module
from radenhance.prepare.case import CaseJob, Settings, make_case
from radenhance.prepare.pairing import Case
from radenhance.prepare.source import FoundFile, identify
from radenhance.prepare.target import reference_target

WORK = Path("work")
DARK = Declarations(raw=Declaration(bone="dark", bits=12))


def source(path, **more):
    return identify(FoundFile(path, path.name, **more))


@pytest.fixture
def job():
    WORK.mkdir()
    raw = save(named_dataset("cat", seed=1), Path("in/raw.dcm"))
    write_png(Path("in/done.png"), normalize(read(raw)) ** 0.8)
    return CaseJob(Case(source(raw), source(Path("in/done.png"))), Settings(Declarations()), WORK)


def with_settings(job, **settings):
    return replace(job, settings=replace(job.settings, **settings))


def test_a_recipe_tells_apart_all_that_decides_the_files(job):
    raw_only = replace(job, case=Case(job.case.raw))
    jobs = [
        job,
        raw_only,
        replace(job, case=Case(job.case.target, job.case.raw)),
        with_settings(job, preset="bone"),
        with_settings(job, anonymize=True),
        with_settings(job, declarations=DARK),
        with_settings(raw_only, reference=False),
    ]
    assert len({other.recipe for other in jobs}) == len(jobs)


def test_a_recipe_does_not_depend_on_names_folders_and_links(job):
    moved = replace(job.case.raw, found=FoundFile(Path("other"), "other"))
    others = [
        replace(job, case=Case(moved, job.case.target)),
        replace(job, work_folder=Path("elsewhere")),
        with_settings(job, link=True),
        with_settings(job, reference=False),  # there is a target
    ]
    assert {other.recipe for other in others} == {job.recipe}


def test_files_are_made_once(job, monkeypatch):
    first = make_case(job)
    assert sorted(path.name for path in WORK.iterdir()) == [
        f"{job.recipe}.json",
        f"{job.recipe}.raw.dcm",
        f"{job.recipe}.target.png",
    ]
    monkeypatch.setattr(case_module, "read", None)  # reading any pixels would fail
    assert make_case(job) == first
    assert first.pair.target_algo == ""


def test_a_file_that_was_lost_is_made_again(job):
    first = make_case(job)
    (WORK / f"{job.recipe}.target.png").unlink()
    assert make_case(job) == first
    assert (WORK / f"{job.recipe}.target.png").exists()


def test_a_raw_file_that_cannot_be_read_is_rejected_and_leaves_no_record(job):
    path = Path("in/raw.dcm")
    path.write_bytes(path.read_bytes()[:-500])
    made = make_case(replace(job, case=Case(job.case.raw)))
    assert made.pair is None
    assert "(7FE0,0010) Pixel Data" in made.rejected[0].reason
    assert list(WORK.iterdir()) == []


def test_a_target_of_another_size_is_rejected_and_the_reference_enhancer_makes_one(job):
    write_png(Path("in/small.png"), np.zeros((70, 70), np.float32))
    made = make_case(replace(job, case=Case(job.case.raw, source(Path("in/small.png")))))
    assert [file.name for file in made.rejected] == ["small.png"]
    assert "export both uncropped" in made.rejected[0].reason
    assert made.pair.target_algo


def test_without_reference_enhancer_and_target_a_case_is_rejected(job):
    made = make_case(with_settings(replace(job, case=Case(job.case.raw)), reference=False))
    assert made.pair is None
    assert "--no-reference" in made.rejected[0].reason


def test_an_image_too_small_for_a_radiograph_is_rejected(job):
    np.save("in/icon.npy", np.zeros((63, 200), np.uint16))
    made = make_case(replace(job, case=Case(source(Path("in/icon.npy")))))
    assert "(63, 200) rows and columns, expected 64 or more" in made.rejected[0].reason


@pytest.mark.parametrize("value", [0, 77, 65535])
def test_a_raw_image_that_shows_nothing_is_rejected(job, value):
    np.save("in/flat.npy", np.full((70, 80), value, np.uint16))
    made = make_case(replace(job, case=Case(source(Path("in/flat.npy")))))
    assert made.pair is None
    assert f"every pixel has the value {value}" in made.rejected[0].reason


def test_a_link_is_the_file_itself_and_no_link_is_an_error_with_a_remedy(job, monkeypatch):
    make_case(with_settings(job, link=True))
    assert os.path.samefile(WORK / f"{job.recipe}.raw.dcm", "in/raw.dcm")
    for path in WORK.iterdir():
        path.unlink()

    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(UsageError, match="Invalid cross-device link.*leave --link out"):
        make_case(with_settings(job, link=True))


def test_a_copy_without_identity_whose_pixels_read_otherwise_is_refused(job, monkeypatch):
    def spoiled(path, source):
        dataset = named_dataset("cat", seed=2)
        save(dataset, path)

    monkeypatch.setattr(case_module, "write_without_identity", spoiled)
    made = make_case(with_settings(replace(job, case=Case(job.case.raw)), anonymize=True))
    assert made.pair is None
    assert "pixels read as other values" in made.rejected[0].reason


def test_identity_is_not_removed_from_files_that_a_link_shares():
    with pytest.raises(UsageError, match="choose one"):
        Settings(Declarations(), anonymize=True, link=True)


def with_target(job, image):
    write_png(Path("in/other.png"), image)
    return replace(job, case=Case(job.case.raw, source(Path("in/other.png"))))


WAYS = [(quarters, mirrored) for quarters in range(4) for mirrored in (False, True)][1:]


@pytest.mark.parametrize(("quarters", "mirrored"), WAYS)
def test_a_target_that_lies_in_another_way_is_refused_or_turned_back(job, quarters, mirrored):
    image = normalize(read("in/done.png"))
    lying = np.rot90(np.fliplr(image) if mirrored else image, quarters)
    job = with_target(job, lying)
    refused = make_case(job)
    (rejected,) = refused.rejected
    assert rejected.reason.startswith(("is turned by", "is mirrored"))
    assert "--turn-targets" in rejected.reason
    assert refused.pair.target_algo
    turned = make_case(with_settings(job, turn_targets=True))
    assert turned.rejected == ()
    assert turned.pair.target_algo == ""
    back = normalize(read(WORK / turned.pair.target_path))
    np.testing.assert_allclose(back, image, atol=2e-5)


@pytest.mark.parametrize("kind", ["another", "empty", "cropped", "cropped and turned"])
@pytest.mark.parametrize("turn_targets", [False, True])
def test_a_target_that_fits_in_no_way_is_refused(job, kind, turn_targets):
    image = normalize(read("in/done.png"))
    image = {
        "another": lambda: np.random.default_rng(0).random(image.shape),
        "empty": lambda: image * 0,
        "cropped": lambda: image[1:],
        "cropped and turned": lambda: np.rot90(image[1:]),
    }[kind]()
    made = make_case(with_settings(with_target(job, image), turn_targets=turn_targets))
    (rejected,) = made.rejected
    told = "rows and columns" if "cropped" in kind else "in none of eight orientations"
    assert told in rejected.reason
    assert made.pair.target_algo


def test_the_exposed_field_is_looked_for_once_and_the_target_is_the_same(job, monkeypatch):
    raw = read("in/raw.dcm")
    expected = reference_target(raw, preset="default")
    looked = []

    def counted(*arguments, **more):
        looked.append(1)
        return find_field(*arguments, **more)

    monkeypatch.setattr("radenhance.dataset.normalize.find_field", counted)
    monkeypatch.setattr("radenhance.reference_enhancer.enhance.find_field", counted)
    made = make_case(replace(job, case=Case(job.case.raw)))
    assert len(looked) == 1
    np.testing.assert_allclose(
        normalize(read(WORK / made.pair.target_path)), expected, atol=1 / 65535
    )
