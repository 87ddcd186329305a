import csv
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from radenhance.cli import main
from radenhance.dataset.manifest import listed_pairs, read_manifest, write_manifest
from radenhance.dataset.normalize import normalize
from radenhance.dicom.read import read, read_header
from radenhance.dicom.write import derive, write, write_png
from radenhance.folders import alone_in
from radenhance.phantoms.radiograph import dataset_of, phantom
from radenhance.prepare import case as case_module
from radenhance.prepare import command as prepare_module
from radenhance.reference_enhancer.presets import PRESETS

OWNER, PET, NUMBER = "Quillfeather", "Zorbax", "QF774411"
RAW, OUT = Path("export"), Path("out")


def radiograph(path, species="dog", *, seed=0, patient=None):
    """Write a phantom that carries the name of an owner, and return its header."""
    dataset = dataset_of(phantom(species, seed=seed, spacing_mm=1.5))
    dataset.PatientName = f"{OWNER}^{PET}"
    dataset.PatientID = f"{NUMBER}-{seed if patient is None else patient}"
    dataset.ResponsiblePerson = f"{OWNER}^Ann"
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return dataset


def twin(path, source, *, shift=0):
    """Write what a device would derive from a raw image."""
    stored = source.pixel_array.astype(np.float32)
    image = np.pad(1 - stored / stored.max(), ((0, 0), (0, shift)))
    source.Columns += shift
    write(path, derive(source, image, description="processed", software_version="1"))
    source.Columns -= shift


def run(*flags, code=0):
    assert main(["prepare", str(RAW), str(OUT), "--processes", "1", *flags]) == code


def rejected():
    with (OUT / "rejected.csv").open(newline="") as file:
        return {row["file"]: row["reason"] for row in csv.DictReader(file)}


def state():
    return {
        path.relative_to(OUT).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in OUT.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def clinic():
    """An export of a cat and two dogs, one of them with a processed twin, and of other files."""
    radiograph(RAW / "a" / "IM1", "cat", seed=1)
    radiograph(RAW / "a" / "IM2", seed=2)
    dog = radiograph(RAW / "b" / "IM1", seed=3)
    twin(RAW / "b" / "IM2", dog)
    (RAW / "viewer.exe").write_bytes(b"MZ" + bytes(200))
    return RAW


def test_an_export_becomes_a_dataset_that_reads(clinic, capsys):
    run()
    pairs = read_manifest(OUT)
    assert [pair.case_id for pair in pairs] == ["cat0001", "dog0001", "dog0002"]
    assert [pair.species for pair in pairs] == ["cat", "dog", "dog"]
    for pair in pairs:
        raw, target = read(OUT / pair.raw_path), read(OUT / pair.target_path, for_presentation=True)
        assert raw.shape == target.shape == (pair.rows, pair.cols)
        assert (pair.bits_stored, pair.intent) == (raw.bits, "FOR PROCESSING")
        assert (pair.pixel_intensity, pair.sign) == (raw.header.relationship, raw.header.sign)
        assert pair.pixel_spacing_mm == 1.5
        assert pair.patient_id == raw.header.patient
        assert 40 <= pair.kvp <= 110
    assert not (OUT / ".prepare").exists()
    said = capsys.readouterr().out
    assert "3 pairs in out/pairs.csv: 1 cat, 2 dog" in said
    assert "files in no pair: 1, see out/rejected.csv" in said
    assert "identify patients and owners" in said


def test_raw_files_are_copied_byte_by_byte_and_hashes_are_theirs(clinic):
    run()
    pair = listed_pairs(OUT)[0]
    assert (OUT / pair.raw_path).read_bytes() == (RAW / "a" / "IM1").read_bytes()
    for path, expected in [
        (pair.raw_path, pair.raw_sha256),
        (pair.target_path, pair.target_sha256),
    ]:
        assert prepare_module.sha256_of(OUT / path) == expected


def test_a_processed_twin_is_the_target_and_others_get_one_of_the_reference_enhancer(clinic):
    run("--preset", "bone")
    by_algorithm = {pair.case_id: pair.target_algo for pair in listed_pairs(OUT)}
    assert by_algorithm == {
        "cat0001": "laplacian-power/1 bone",
        "dog0001": "laplacian-power/1 bone",
        "dog0002": "",
    }
    pairs = {pair.case_id: pair for pair in listed_pairs(OUT)}
    assert pairs["dog0001"].target_algo_hash == PRESETS["bone"].fingerprint()
    raw, target = (read_header(OUT / half / "dog0002.dcm") for half in ("raw", "target"))
    assert target.source_uids == (raw.sop_instance_uid,)
    description = (OUT / "dataset.yaml").read_text()
    assert "  cat: 1\n  dog: 2\n" in description
    assert "  a device or a person: 1\n  laplacian-power/1 bone: 2\n" in description


def test_what_targets_are_outside_the_field_is_found_and_never_against_what_is_declared(
    clinic, capsys
):
    run()
    found = [pair.outside_field for pair in listed_pairs(OUT)]
    assert found[:2] == ["black", "black"]  # of the reference enhancer
    assert found[2] in ("keep", "none")  # the twin is grey
    capsys.readouterr()
    for declared, told in (("black", 0), ("keep", 1)):
        (OUT / "dataset.yaml").write_text(f"outside_field: {declared}\n")
        pairs = [replace(p, accept=int(p.case_id != "dog0002")) for p in listed_pairs(OUT)]
        write_manifest(OUT, pairs)
        before = state()["target/cat0001.png"]
        run()
        assert state()["target/cat0001.png"] == before
        assert f"\noutside_field: {declared}\n" in (OUT / "dataset.yaml").read_text()
        said = capsys.readouterr().out
        assert "targets are black outside the exposed field in 2 of 2 images" in said
        assert said.count("set it to black there") == told


def test_a_new_dataset_says_what_its_targets_are_outside_the_field(clinic):
    (RAW / "b" / "IM2").unlink()
    run()
    assert "\noutside_field: black\n" in (OUT / "dataset.yaml").read_text()


def test_without_the_reference_enhancer_only_twins_come_out(clinic):
    run("--no-reference")
    assert [pair.target_algo for pair in listed_pairs(OUT)] == [""]
    assert "--no-reference" in rejected()["a/IM1"]


def test_a_folder_of_targets_pairs_by_name(clinic):
    Path("done/a").mkdir(parents=True)
    write_png(Path("done/a/IM1.png"), normalize(read(RAW / "a" / "IM1")))
    run("--targets", "done")
    cat = listed_pairs(OUT)[0]
    assert cat.target_algo == ""
    assert (OUT / cat.target_path).read_bytes() == Path("done/a/IM1.png").read_bytes()


def test_every_rejected_file_is_listed_with_its_reason(clinic):
    radiograph(RAW / "c" / "first", seed=8)
    other = pydicom.dcmread(RAW / "c" / "first")
    other.SOPInstanceUID = "1.2.3.4"  # sent twice: the pixels are the same, the file is not
    other.save_as(RAW / "c" / "second")
    (RAW / "c" / "third").write_bytes((RAW / "c" / "first").read_bytes())
    (RAW / "c" / "cut").write_bytes((RAW / "c" / "first").read_bytes()[:-1000])
    np.save(RAW / "c" / "icon.npy", np.zeros((16, 16), np.uint8))
    lonely = radiograph(Path("elsewhere/raw"), seed=9)
    twin(RAW / "c" / "twin", lonely)
    run()
    reasons = rejected()
    assert "is a copy of 'c/first'" in reasons["c/third"]
    assert "has the pixels of another raw file" in reasons["c/second"]
    assert "(7FE0,0010) Pixel Data" in reasons["c/cut"]
    assert "(16, 16) rows and columns, expected 64 or more" in reasons["c/icon.npy"]
    assert "derived from an image that is not in the export" in reasons["c/twin"]
    assert "expected DICOM, PNG, TIFF or NPY" in reasons["viewer.exe"]
    assert len(reasons) == 6
    assert len(listed_pairs(OUT)) == 4


def test_a_twin_of_another_size_is_rejected_and_the_reference_enhancer_takes_its_place():
    twin(RAW / "done", radiograph(RAW / "raw", seed=1), shift=2)
    run()
    assert "rows and columns, its raw image" in rejected()["done"]
    assert listed_pairs(OUT)[0].target_algo.startswith("laplacian-power")


def test_nothing_to_use_is_an_error_that_tells_why(capsys):
    RAW.mkdir()
    run(code=2)
    assert "export has no files" in capsys.readouterr().err
    (RAW / "report.pdf").write_text("%PDF")
    run(code=2)
    assert "expected DICOM, PNG, TIFF or NPY" in capsys.readouterr().err
    assert list(rejected()) == ["report.pdf"]
    radiograph(RAW / "late")
    run()
    assert len(listed_pairs(OUT)) == 1


def test_running_again_changes_nothing(clinic, monkeypatch):
    run()
    before = state()
    monkeypatch.setattr(case_module, "read", None)  # reading any pixels would fail
    run()
    after = state()
    assert {name: content for name, (content, _) in after.items()} == {
        name: content for name, (content, _) in before.items()
    }
    images = [name for name in before if name.startswith(("raw/", "target/"))]
    assert all(before[name][1] == after[name][1] for name in images)


def test_what_people_wrote_stays_and_new_cases_are_added(clinic):
    run("--val-fraction", "0")
    text = (OUT / "pairs.csv").read_text().splitlines()
    assert text[2].startswith("dog0001,")
    text[0] += ",mood"
    text[1:] = [f"{line},calm" for line in text[1:]]
    (OUT / "pairs.csv").write_text("\n".join(text) + "\n")
    cat, dog, second = listed_pairs(OUT)
    edit = {"split": "val", "accept": 0, "notes": "blurred", "reviewed_by": "R1", "breed": "Pug"}
    edited = type(dog)(**(vars(dog) | edit))
    write_manifest(OUT, [second, edited, cat])
    radiograph(RAW / "new" / "1", seed=2, patient=2)  # of the patient that now validates, known
    radiograph(RAW / "new" / "2", seed=12, patient=2)
    radiograph(RAW / "new" / "3", "turtle", seed=13)
    run("--val-fraction", "0.5")
    pairs = listed_pairs(OUT)
    assert pairs[:3] == [second, edited, cat]
    assert [(pair.case_id, pair.split) for pair in pairs[3:]] == [
        ("dog0003", "val"),
        ("turtle0001", "train"),
    ]
    with (OUT / "pairs.csv").open(newline="") as file:
        assert [row["mood"] for row in csv.DictReader(file)] == ["calm"] * 3 + ["", ""]


def test_another_preset_makes_targets_again_and_drops_their_review(clinic):
    run()
    pairs = [type(p)(**(vars(p) | {"reviewed_by": "R1", "notes": "n"})) for p in listed_pairs(OUT)]
    write_manifest(OUT, pairs)
    before = state()
    run("--preset", "thorax")
    after = listed_pairs(OUT)
    assert [pair.notes for pair in after] == ["n"] * 3
    assert [pair.reviewed_by for pair in after] == ["", "", "R1"]  # the twin is as it was
    assert state()["target/cat0001.png"][0] != before["target/cat0001.png"][0]
    assert [p.split for p in after] == [p.split for p in pairs]


def test_a_target_of_a_device_is_not_replaced_when_it_is_not_given_again(clinic):
    run()
    before = (OUT / "target" / "dog0002.dcm").read_bytes()
    (RAW / "b" / "IM2").unlink()
    run()
    assert (OUT / "target" / "dog0002.dcm").read_bytes() == before
    assert listed_pairs(OUT)[2].target_algo == ""


def test_a_twin_that_comes_later_replaces_the_target_that_was_made():
    dog = radiograph(RAW / "raw", seed=3)
    run()
    assert (OUT / "target" / "dog0001.png").exists()
    twin(RAW / "done", dog)
    run()
    (pair,) = listed_pairs(OUT)
    assert (pair.target_path, pair.target_algo) == ("target/dog0001.dcm", "")
    assert [path.name for path in (OUT / "target").iterdir()] == ["dog0001.dcm"]


def test_a_file_that_was_lost_is_made_again(clinic):
    run()
    before = state()
    (OUT / "target" / "cat0001.png").unlink()
    run()
    assert {n: c for n, (c, _) in state().items()} == {n: c for n, (c, _) in before.items()}


@pytest.mark.parametrize("stop_at", ["_make", "place", "write_lists"])
def test_a_run_that_was_killed_goes_on_where_it_was(clinic, monkeypatch, stop_at):
    made = Counter()
    make = case_module._make

    def counting(job, rejected):
        if stop_at == "_make" and sum(made.values()) == 2:
            raise KeyboardInterrupt
        made[job.case.raw.found.name] += 1
        return make(job, rejected)

    def kill(*_args, **_more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(case_module, "_make", counting)
        if stop_at != "_make":
            patch.setattr(prepare_module, stop_at, kill)
        run(code=130)
        assert not (OUT / "pairs.csv").exists()
    monkeypatch.setattr(case_module, "_make", counting)
    stop_at = ""
    run()
    assert [pair.case_id for pair in read_manifest(OUT)] == ["cat0001", "dog0001", "dog0002"]
    assert sorted(path.name for path in (OUT / "raw").iterdir()) == [
        "cat0001.dcm",
        "dog0001.dcm",
        "dog0002.dcm",
    ]
    assert not (OUT / ".prepare").exists()
    assert len(made) == 3


@pytest.mark.parametrize(("asking", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_who_stops_it_sees_what_is_done_and_what_was_rejected(
    clinic, asking, code, monkeypatch, capsys
):
    make = case_module._make

    def stopping(job, rejected):
        if job.case.raw.found.name == "b/IM1":
            os.kill(os.getpid(), asking)
        return make(job, rejected)

    with monkeypatch.context() as patch:
        patch.setattr(case_module, "_make", stopping)
        run(code=code)
    printed = capsys.readouterr().out
    assert "stopped after 2 of 3 cases; they are kept, and the same command goes on" in printed
    assert "files in no pair so far: 1\n  1 x the file is a program of Windows" in printed
    assert OWNER not in printed
    run()
    assert len(read_manifest(OUT)) == 3


def test_work_that_was_finished_before_a_kill_is_not_done_again(clinic, monkeypatch):
    made = []
    make = case_module._make

    def counting(job, rejected):
        if len(made) == 2:
            made.append("killed")
            raise KeyboardInterrupt
        made.append(job.case.raw.found.name)
        return make(job, rejected)

    monkeypatch.setattr(case_module, "_make", counting)
    run(code=130)
    run()
    assert made == ["a/IM1", "a/IM2", "killed", "b/IM1"]


def test_several_processes_give_what_one_gives(clinic):
    run()
    one = listed_pairs(OUT)
    OUT.rename("one")
    assert main(["prepare", str(RAW), str(OUT), "--processes", "2"]) == 0
    assert listed_pairs(OUT) == one


def test_no_identity_is_written_or_printed(capfd, caplog):
    folder = RAW / f"{OWNER}_{PET}"
    dog = radiograph(folder / "raw", seed=1)
    twin(folder / "twin", dog)
    (folder / f"letter to {OWNER.upper()}.txt").write_text("Dear")
    bad = radiograph(folder / f"{PET}2", seed=2)
    bad.PatientSpeciesDescription, bad.PatientSpeciesCodeSequence = PET, None
    bad.PatientBreedDescription = bad.BodyPartExamined = f"of {OWNER}"
    bits, bad.BitsStored = bad.BitsStored, 99
    bad.save_as(folder / f"{PET}2")
    bad.BitsStored = bits
    bad.save_as(folder / f"{PET}3")
    capfd.readouterr()  # what pydicom says of the files as they are written here
    caplog.clear()
    caplog.set_level("DEBUG")
    run("--keep-names")
    printed = capfd.readouterr()
    written = (
        b"".join(
            str(path).encode() + path.read_bytes()
            for path in OUT.rglob("*")
            if path.suffix in (".csv", ".yaml", ".png")
        )
        + str(list(OUT.rglob("*"))).encode()
    )
    text = (printed.out + printed.err + caplog.text + written.decode("latin-1")).lower()
    for secret in (OWNER, PET, NUMBER):
        assert secret.lower() not in text
    assert any(name.startswith("***_***/letter to ***") for name in rejected())
    assert [pair.case_id for pair in listed_pairs(OUT)] == ["other0001", "raw"]


def test_names_are_kept_when_asked_for_and_made_unique(clinic):
    run("--keep-names")
    assert [pair.case_id for pair in listed_pairs(OUT)] == ["IM1", "IM2", "IM1_2"]


def test_anonymized_copies_have_the_pixels_and_nothing_else_of_the_patient(clinic, capsys, recwarn):
    wrong = pydicom.dcmread(RAW / "a" / "IM1")
    for keyword, vr in [("FrameOfReferenceUID", "UI"), ("PatientBirthDate", "DA")]:
        wrong.add(pydicom.DataElement(keyword, vr, OWNER, validation_mode=0))
    wrong.save_as(RAW / "a" / "IM1")
    run("--anonymize")
    assert not [warning for warning in recwarn if OWNER in str(warning.message)]
    assert "burned into the pixels was not searched for" in " ".join(
        capsys.readouterr().out.split()
    )
    content = b"".join(path.read_bytes() for path in OUT.rglob("*") if path.is_file())
    for secret in (OWNER, PET, NUMBER, "SYNTHETIC CLINIC", "20260101"):
        assert secret.encode() not in content
    pairs = listed_pairs(OUT)
    original, copy = read(RAW / "b" / "IM1"), read(OUT / pairs[2].raw_path)
    assert np.array_equal(original.pixels, copy.pixels)
    assert (copy.bits, copy.relationship) == (original.bits, original.relationship)
    assert copy.spacing_mm == original.spacing_mm
    assert copy.header.species == "dog"
    target = read_header(OUT / pairs[2].target_path)
    assert target.source_uids == (copy.header.sop_instance_uid,)
    assert copy.header.sop_instance_uid != original.header.sop_instance_uid
    assert pydicom.dcmread(OUT / pairs[2].raw_path).PatientIdentityRemoved == "YES"
    assert pairs[2].source_sha256 == prepare_module.sha256_of(RAW / "b" / "IM1")
    assert pairs[2].raw_sha256 == prepare_module.sha256_of(OUT / pairs[2].raw_path)
    before = state()
    run("--anonymize")
    assert {n: c for n, (c, _) in state().items()} == {n: c for n, (c, _) in before.items()}


def test_texts_in_a_png_are_left_out_of_an_anonymized_copy(clinic):
    Path("done/a").mkdir(parents=True)
    gray = normalize(read(RAW / "a" / "IM1"))
    write_png(Path("done/a/IM1.png"), gray, description=f"of {OWNER}")
    run("--targets", "done", "--anonymize")
    copy = OUT / listed_pairs(OUT)[0].target_path
    assert OWNER.encode() not in copy.read_bytes()
    assert np.array_equal(read(copy).pixels, read(Path("done/a/IM1.png")).pixels)


def test_a_second_prepare_into_one_folder_says_that_another_works_there(clinic, capsys):
    OUT.mkdir()
    with alone_in(OUT):
        run(code=2)
    assert "another radenhance command works in out; wait until it has ended" in (
        capsys.readouterr().err
    )
    assert list(OUT.iterdir()) == []
    run()
    assert len(listed_pairs(OUT)) == 3


def test_links_take_no_space(clinic):
    run("--link")
    pair = listed_pairs(OUT)[0]
    assert os.path.samefile(OUT / pair.raw_path, RAW / "a" / "IM1")


def test_patients_are_split_by_species_into_three():
    for seed in range(5):
        radiograph(RAW / f"{seed}a", seed=seed)
        radiograph(RAW / f"{seed}b", seed=20 + seed, patient=seed)
    run("--val-fraction", "0.2", "--test-fraction", "0.2")
    pairs = read_manifest(OUT)  # checks that no patient is in two
    assert Counter(pair.split for pair in pairs) == {"train": 6, "val": 2, "test": 2}


def test_declarations_of_a_description_that_is_there_first_are_obeyed():
    RAW.mkdir()
    OUT.mkdir()
    random = np.random.default_rng(0)
    image = (random.random((80, 80)) * 4000).astype(np.uint16)
    np.save(RAW / "1.npy", image)
    (OUT / "dataset.yaml").write_text("licence: CC0\nraw: {bone: dark, bits: 12}\n")
    run()
    assert listed_pairs(OUT)[0].bits_stored == 12
    assert "licence: CC0" in (OUT / "dataset.yaml").read_text()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--targets", "gone"], "--targets gone: no such folder"),
        (["--val-fraction", "0.6", "--test-fraction", "0.4"], "together less than 1"),
        (["--anonymize", "--link"], "choose one"),
    ],
)
def test_wrong_flags_are_refused_before_any_work(clinic, capsys, flags, message):
    run(*flags, code=2)
    assert message in capsys.readouterr().err
    assert not OUT.exists()


def test_folders_of_others_are_left_alone(clinic, capsys):
    OUT.mkdir()
    (OUT / "thesis.txt").write_text("mine")
    run(code=2)
    assert "OUT out holds thesis.txt but no pairs.csv" in capsys.readouterr().err
    assert main(["prepare", "out", "out"]) == 2
    assert "is inside OUT" in capsys.readouterr().err
    assert main(["prepare", "gone", "out"]) == 2
    assert "RAW gone: no such folder" in capsys.readouterr().err
    assert [path.name for path in OUT.iterdir()] == ["thesis.txt"]


def test_out_may_lie_inside_the_export(clinic):
    for _ in range(2):
        assert main(["prepare", str(RAW), str(RAW / "set"), "--processes", "1"]) == 0
    assert len(listed_pairs(RAW / "set")) == 3


def test_the_command_does_without_torch():
    code = "import sys, radenhance.prepare.command; sys.exit('torch' in sys.modules)"
    root = Path(prepare_module.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
