"""One radiograph that cannot be read does not decide over all, in any command over a folder."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from clinic_files import SECRETS, named_dataset
from evaluated import evaluated, write_network, write_pairs

from radenhance.cli import main
from radenhance.folds.cross_validation import pooled
from radenhance.inference import comparison
from radenhance.inference.guard.guard import Calibration
from radenhance.prepare.passed_over import Failure

PIXELS = np.linspace(0, 60000, 70 * 80).reshape(70, 80).astype(np.uint16)


def dicom(path, **elements):
    dataset = named_dataset(spacing_mm=6.0)
    for name, value in elements.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)


def cut(path):
    dicom(path)
    path.write_bytes(path.read_bytes()[:-100])


def bent(path):
    dicom(path)
    path.write_bytes(path.read_bytes()[:140] + bytes(range(256)))


def colour(path):
    _, png = cv2.imencode(".png", np.random.default_rng(0).integers(0, 255, (70, 80, 3), np.uint8))
    path.write_bytes(png)


def cut_png(path):
    _, png = cv2.imencode(".png", PIXELS)
    path.write_bytes(png[: len(png) // 2].tobytes())


def gone(path):
    path.symlink_to("nowhere")


def array(values):
    def write(path):
        with path.open("wb") as file:
            np.save(file, values)

    return write


BAD = {
    "empty": lambda path: path.write_bytes(b""),
    "one byte": lambda path: path.write_bytes(b"\x93"),
    "text": lambda path: path.write_text("the letter"),
    "zeros": lambda path: path.write_bytes(bytes(5000)),
    "CT": lambda path: dicom(path, Modality="CT", SOPClassUID="1.2.840.10008.5.1.4.1.1.2"),
    "cut DICOM": cut,
    "bent DICOM": bent,
    "frames": lambda path: dicom(path, NumberOfFrames=7),
    "no size": lambda path: dicom(path, Rows=0),
    "polarity": lambda path: dicom(path, PhotometricInterpretation="ZORBAX"),
    "colour": colour,
    "cut PNG": cut_png,
    "three axes": array(np.zeros((4, 70, 80), np.uint16)),
    "floats": array(np.full((70, 80), np.nan)),
    "tiny": array(PIXELS[:9, :9].copy()),
}  # fmt: skip
TEXTS = ("d/raw", "d/target", "in/", ".npy", *SECRETS)


def spoiled(root, splits):
    """Write pairs, of which each kind of bad file has spoiled one, at every second place."""
    write_pairs(root, splits)
    for number, write in enumerate(BAD.values()):
        half = "target" if number % 4 == 3 else "raw"
        path = root / half / f"case{2 * number}.npy"
        path.unlink()
        write(path)
    return root


def unnamed(text):
    return not any(name.casefold() in text.casefold() for name in TEXTS)


def test_evaluate_measures_all_others_and_lists_each_bad_one(capsys):
    write_network(Path("x.ckpt"))
    spoiled(Path("d"), ["test"] * (2 * len(BAD) + 1))
    flags = ["--csv=f.csv", "--json=f.json", "--sheet=s.png"]
    assert main(["evaluate", "x.ckpt", "d", *flags]) == 4
    printed = capsys.readouterr()
    bad = [f"case {2 * number + 1}" for number in range(len(BAD))]
    good = [f"case {2 * number + 2}" for number in range(len(BAD))]
    assert printed.err.splitlines()[-1].endswith(
        f"{len(BAD)} radiographs had to be passed over, as listed; all others are measured"
    )
    table = printed.out.partition("Passed over:\n")[2]
    assert [line.split(":")[0].strip() for line in table.splitlines()[: len(BAD)]] == bad
    content = json.loads(Path("f.json").read_text())
    assert [one["case"] for one in content["failures"]] == bad
    assert [one["case"] for one in content["cases"]][: len(good)] == good
    rows = list(csv.DictReader(Path("f.csv").read_text().splitlines()))
    assert {row["case"]: row["failure"] for row in rows if row["failure"]} == {
        one["case"]: one["reason"] for one in content["failures"]
    }
    assert all(unnamed(text) for text in (table, Path("f.csv").read_text(), str(content)))
    assert Path("s.png").stat().st_size > 1000


def test_where_nothing_can_be_measured_the_reason_is_said(capsys):
    write_network(Path("x.ckpt"))
    write_pairs(Path("d"), ["train", "test"])
    for path in Path("d/raw").iterdir():
        path.write_bytes(b"")
    assert main(["evaluate", "x.ckpt", "d", "--json=f.json"]) == 2
    printed = capsys.readouterr()
    empty = "the raw image: the file is empty, expected DICOM, PNG, TIFF or NPY"
    assert printed.err.splitlines()[-1].endswith(
        f"no radiograph could be measured; case 1: {empty}"
    )
    assert printed.out == f"Passed over:\n  case 1: {empty}\n  case 2: {empty}\n"
    assert not Path("f.json").exists()


@pytest.mark.parametrize("place", range(3))
def test_the_sheet_keeps_to_the_right_pairs_wherever_a_bad_one_is(place):
    write_network(Path("x.ckpt"))
    write_pairs(Path("all"), ["test"] * 3)
    kept = [f"case{number}" for number in range(3) if number != place]
    shutil.copytree("all", "bad")
    Path(f"bad/target/case{place}.npy").write_bytes(b"no image")
    assert main(["evaluate", "x.ckpt", "bad", "--sheet=bad.png", "--log-names", "--size=64"]) == 4
    lines = Path("all/pairs.csv").read_text().splitlines()
    left = [line for line in lines if f"raw/case{place}.npy" not in line]
    Path("all/pairs.csv").write_text("\n".join(left))
    assert main(["evaluate", "x.ckpt", "all", "--sheet=all.png", "--log-names", "--size=64"]) == 0
    assert len(left) == 1 + len(kept)
    assert np.array_equal(cv2.imread("bad.png"), cv2.imread("all.png"))


def test_memory_that_runs_out_ends_an_evaluation(monkeypatch, capsys):
    write_network(Path("x.ckpt"))
    write_pairs(Path("d"), ["test"] * 2)

    def ran_out(*args, **options):
        raise MemoryError

    monkeypatch.setattr("radenhance.dataset.pairs.decode", ran_out)
    assert main(["evaluate", "x.ckpt", "d"]) == 7


def test_a_guard_is_calibrated_with_all_others(capsys):
    write_network(Path("x.ckpt"))
    spoiled(Path("d"), ["val"] * (2 * len(BAD) + 1))
    assert main(["guard", "--ckpt_path=x.ckpt", "--root=d"]) == 4
    printed = capsys.readouterr()
    assert printed.out.count(": ") >= len(BAD)
    assert sum(Calibration.read(Path("guard.json")).num_images.values()) == len(BAD) + 1
    assert printed.err.splitlines()[-1].endswith("all others are used")
    assert unnamed(printed.out.partition("Passed over:\n")[2])


def test_a_showcase_is_of_all_others(monkeypatch, capsys):
    write_network(Path("x.ckpt"))
    monkeypatch.setattr(comparison, "REAL_ROOT", write_pairs(Path("real"), ["val"] * 2, side=170))
    write_pairs(Path("d"), ["val"] * 4, side=170)
    Path("d/raw/case0.npy").write_bytes(b"")
    cut(Path("d/target/case2.npy").absolute())
    assert main(["showcase", "--ckpt_path=x.ckpt", "--root=d"]) == 4
    printed = capsys.readouterr()
    _, *lines = printed.out.partition("Passed over:\n")[2].splitlines()[:2]
    assert lines[0].startswith("  case 3: the target: ")
    assert "validation                             2" in printed.out
    assert printed.err.splitlines()[-1].endswith("all others are measured")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_predict_writes_all_others_and_lists_each_bad_one(num_workers, capsys):
    write_network(Path("x.ckpt"))
    Path("in").mkdir()
    for number, write in enumerate([*BAD.values(), gone]):
        write(Path(f"in/{2 * number:02}.npy"))
        np.save(f"in/{2 * number + 1:02}.npy", PIXELS)
    flags = ["--ckpt_path=x.ckpt", f"--data.num_workers={num_workers}", "--quiet"]
    assert main(["predict", "--data.predict_from=in", *flags]) == 4
    printed = capsys.readouterr()
    made = sorted(path.stem for path in Path("enhanced").iterdir())
    assert made == [f"{2 * number + 1:02}" for number in range(len(BAD) + 1)]
    _, *lines, how = printed.out.partition("Passed over:")[2].splitlines()
    assert [line.split(":")[0].strip() for line in lines] == [
        f"case {2 * number + 1}" for number in range(len(BAD) + 1)
    ]
    assert "--data.log_names=true names them" in how
    assert unnamed(printed.out)
    assert printed.err.splitlines()[-1].endswith("all others are enhanced")


def test_predict_names_files_where_that_is_wanted_and_says_when_none_was_read(capsys):
    write_network(Path("x.ckpt"))
    Path("in").mkdir()
    Path("in/a.dcm").write_bytes(b"")
    flags = ["--ckpt_path=x.ckpt", "--data.log_names=true", "--data.num_workers=0"]
    assert main(["predict", "--data.predict_from=in", *flags]) == 2
    printed = capsys.readouterr()
    assert "  in/a.dcm: the file is empty" in printed.out
    assert "no radiograph could be enhanced; in/a.dcm: the file is empty" in printed.err


def test_what_several_folds_passed_over_is_listed_once():
    first, second = (Failure(f"case {number}", "is empty") for number in (1, 2))
    fold = evaluated({"raw": 0.5, "network": 0.6})
    folds = [replace(fold, failures=failures) for failures in ([first], [first, second])]
    assert pooled(folds).failures == [first, second]
