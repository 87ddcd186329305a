from pathlib import Path

import pytest

from radenhance.dataset.pair import Pair
from radenhance.prepare.placing import Names, names_of, place, remove_replaced

ROOT, WORK = Path("set"), Path("set/.prepare")


def pair(case="", raw="r.raw.dcm", target="r.target.png", species="cat"):
    return Pair(case, "p", raw, target, "train", species=species)


@pytest.fixture(autouse=True)
def _folders():
    WORK.mkdir(parents=True)


def made(recipe):
    """Both files of a case as they are in the work folder."""
    files = f"{recipe}.raw.dcm", f"{recipe}.target.png"
    for name in files:
        (WORK / name).write_text(f"content of {name}")
    return files


def test_files_move_to_their_case_ids_with_their_suffixes():
    pairs = [pair("cat0001", *made("a")), pair("cat0002", *made("b"))]
    placed = place(ROOT, WORK, pairs)
    assert [(p.raw_path, p.target_path) for p in placed] == [
        ("raw/cat0001.dcm", "target/cat0001.png"),
        ("raw/cat0002.dcm", "target/cat0002.png"),
    ]
    assert (ROOT / "raw/cat0002.dcm").read_text() == "content of b.raw.dcm"
    assert [path.name for path in WORK.iterdir()] == ["placing.json"]


def test_nothing_to_place_makes_no_folders():
    assert place(ROOT, WORK, []) == []
    assert [path.name for path in ROOT.iterdir()] == [".prepare"]


def test_ids_of_lines_and_of_files_are_in_use():
    (ROOT / "raw").mkdir()
    (ROOT / "raw/cat0001.dcm").touch()
    names = names_of(ROOT, WORK, [pair("cat0002")])
    assert names.name(pair(), None).case_id == "cat0003"
    assert names.name(pair(), None).case_id == "cat0004"


def test_files_that_an_interrupted_run_placed_are_not_in_use():
    place(ROOT, WORK, [pair("cat0001", *made("a"))])  # and then killed, before the manifest
    assert names_of(ROOT, WORK, []).name(pair(), None).case_id == "cat0001"
    (ROOT / "raw/dog0001.dcm").touch()  # of someone else
    assert names_of(ROOT, WORK, []).name(pair(species="dog"), None).case_id == "dog0002"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("left elbow", "left_elbow"),
        ("../../etc/passwd", "etc_passwd"),
        ("..", "cat0001"),
        ("a/b\\c:d", "a_b_c_d"),
        ("Röntgen-1.2", "Röntgen-1.2"),
    ],
)
def test_a_wanted_name_becomes_a_file_name_inside_the_folder(wanted, expected):
    found = Names(set()).name(pair(), wanted).case_id
    assert found == expected
    assert Path(found).name == found


def test_equal_wanted_names_are_numbered():
    names = Names({"IM1"})
    assert [names.name(pair(), "IM1").case_id for _ in range(2)] == ["IM1_2", "IM1_3"]


def test_files_that_no_line_names_any_more_are_removed():
    (ROOT / "target").mkdir()
    for name in ("cat0001.png", "cat0001.dcm", "mine.png"):
        (ROOT / "target" / name).touch()
    Path("elsewhere.png").touch()
    before = [
        pair("cat0001", "raw/cat0001.dcm", "target/cat0001.png"),
        pair("cat0002", "raw/cat0002.dcm", "../elsewhere.png"),
    ]
    now = [pair("cat0001", "raw/cat0001.dcm", "target/cat0001.dcm")]
    remove_replaced(ROOT, before, now)
    assert sorted(path.name for path in (ROOT / "target").iterdir()) == ["cat0001.dcm", "mine.png"]
    assert Path("elsewhere.png").exists()  # a path of a person's own
