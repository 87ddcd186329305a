import hashlib
from pathlib import Path

import pytest

from radenhance.cli import main
from radenhance.dataset.manifest import read_manifest
from radenhance.dataset.normalize import normalize
from radenhance.dicom.read import read
from radenhance.errors import UsageError
from radenhance.prepare.folder import made_whole
from radenhance.prepare.real import make_real_pairs
from radenhance.prepare.synthesize import synthesize

FEW = {"cat": 2, "dog": 2, "turtle": 1}


def hashes(root):
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_equal_seeds_make_equal_files():
    for name in ("one", "two"):
        synthesize(Path(name), counts=FEW, spacing_mm=1.0, seed=4)
    assert hashes(Path("one")) == hashes(Path("two"))
    synthesize(Path("three"), counts=FEW, spacing_mm=1.0, seed=5)
    assert hashes(Path("one")) != hashes(Path("three"))


def test_the_command_makes_pairs_that_read_and_match():
    flags = ["--cats", "2", "--dogs", "0", "--turtles", "1", "--spacing-mm", "0.8"]
    assert main(["synthesize", "out", *flags]) == 0
    root = Path("out")
    pairs = read_manifest(root)
    assert [pair.species for pair in pairs] == ["cat", "cat", "turtle"]
    for pair in pairs:
        raw, target = (
            read(root / pair.raw_path),
            read(root / pair.target_path, for_presentation=True),
        )
        assert raw.shape == target.shape
        assert raw.header.intent == "FOR PROCESSING"
        assert normalize(target).std() > 0.02
        assert pair.patient_id == raw.header.patient
        assert pair.target_algo_hash


def test_a_folder_that_exists_is_left_alone(capsys):
    Path("out").mkdir()
    assert main(["synthesize", "out"]) == 2
    assert "out exists already" in capsys.readouterr().err
    assert list(Path("out").iterdir()) == []


@pytest.mark.parametrize("options", [{"spacing_mm": 0.0}, {"counts": dict.fromkeys(FEW, 0)}])
def test_impossible_numbers_are_refused(options):
    with pytest.raises(UsageError, match="cannot make"):
        synthesize(Path("out"), **options)


def test_a_dataset_that_fails_half_way_leaves_nothing():
    def fail():
        with made_whole(Path("out")) as folder:
            (folder / "raw" / "half.dcm").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(Path().iterdir()) == []


def test_of_two_at_once_the_first_stays():
    with made_whole(Path("out")) as slow:
        (slow / "pairs.csv").write_text("slow")
        with made_whole(Path("out")) as fast:
            (fast / "pairs.csv").write_text("fast")
    assert Path("out/pairs.csv").read_text() == "fast"
    assert [path.name for path in Path().iterdir()] == ["out"]


def test_real_samples_only_validate():
    make_real_pairs(Path("real"))
    pairs = read_manifest(Path("real"))
    assert [(pair.case_id, pair.split) for pair in pairs] == [("RG1", "val"), ("RG3", "val")]
    assert read(Path("real/raw/RG1.dcm")).shape == (1955, 1841)
