import hashlib
from pathlib import Path

import pytest

from radenhance.cli import main
from radenhance.dataset.manifest import read_manifest
from radenhance.dataset.normalize import normalize
from radenhance.dicom.read import read
from radenhance.errors import UsageError
from radenhance.prepare.synthesize import synthesize

FEW = {"cat": 1, "dog": 1, "turtle": 1}


def hashes(root):
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_equal_seeds_make_equal_files():
    for name in ("one", "two"):
        synthesize(Path(name), counts=FEW, spacing_mm=2.0, seed=4, num_processes=1)
    assert hashes(Path("one")) == hashes(Path("two"))
    synthesize(Path("three"), counts=FEW, spacing_mm=2.0, seed=5, num_processes=1)
    assert hashes(Path("one")) != hashes(Path("three"))


def test_the_command_makes_pairs_that_read_and_match():
    flags = [
        "--cats",
        "2",
        "--dogs",
        "0",
        "--turtles",
        "1",
        "--spacing-mm",
        "1.0",
        "--processes",
        "1",
    ]
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
