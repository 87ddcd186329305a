import os
import socket
from pathlib import Path

import pytest

from radenhance.cli import main
from radenhance.datamodule import radiographs_in
from radenhance.dicom.read import read
from radenhance.errors import DatasetError, RadiographError
from radenhance.folders import entries_below, why_no_file


def touch(*names):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def found(folder="in", **options):
    return {
        entry.path.relative_to(folder).as_posix(): entry.problem
        for entry in entries_below(Path(folder), **options)
    }


@pytest.fixture
def locked(monkeypatch):
    """Folders that answer as one without read permission does; root may read all."""
    folders, scandir = set(), os.scandir

    def refused(path):
        if not isinstance(path, int) and Path(path).name in folders:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    return folders


def test_files_are_found_at_any_depth_and_hidden_ones_are_not():
    touch("in/a", "in/b/c/d.dcm", "in/.hidden", "in/.git/a", "in/b/.x/y")
    assert found() == {"a": "", "b/c/d.dcm": ""}


@pytest.mark.parametrize("where", ["b", "b/c", "z"])
def test_a_folder_that_cannot_be_searched_is_told(where, locked):
    touch("in/a", "in/b/c/d", "in/z/e")
    locked.add(Path(where).name)
    problem = "is a folder that cannot be searched: Permission denied; make it readable"
    assert found()[where] == problem
    assert found()["a"] == ""


def test_the_folder_itself_may_be_the_one_that_cannot_be_searched(locked):
    touch("in/a")
    locked.add("in")
    assert "Permission denied" in found()["."]


def test_linked_folders_and_files_are_searched_each_once():
    touch("in/a/1", "elsewhere/b/2", "elsewhere/3")
    Path("in/linked").symlink_to(Path("elsewhere").absolute())
    Path("in/file").symlink_to(Path("elsewhere/3").absolute())
    assert found() == {"a/1": "", "linked/b/2": "", "linked/3": "", "file": ""}
    Path("in/y").symlink_to(Path("elsewhere").absolute())
    assert "is a link to a folder that is searched already" in found()["y"]
    assert "y/3" not in found()


@pytest.mark.parametrize("target", [".", "in", "in/a", "in/a/b"])
def test_links_in_a_circle_end(target):
    touch("in/a/b/1")
    Path("in/a/b/circle").symlink_to(Path(target).absolute())
    listed = found()
    assert listed.pop("a/b/1") == ""
    assert all("searched already" in problem or not problem for problem in listed.values())


def test_a_folder_that_is_left_out_is_left_out_through_a_link_too():
    touch("in/a", "in/out/b")
    Path("in/link").symlink_to(Path("in/out").absolute())
    listed = found(leave_out=[Path("in/out")])
    assert listed.keys() == {"a", "link"}


def special():
    touch("in/a.dcm")
    os.mkfifo("in/pipe.dcm")
    Path("in/broken.dcm").symlink_to("gone")
    Path("in/device.dcm").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("in/socket.dcm")


SPECIAL = {
    "pipe.dcm": "is a named pipe, expected a file",
    "broken.dcm": "is a link to nothing",
    "device.dcm": "is a device, expected a file",
    "socket.dcm": "is a socket, expected a file",
}


def test_what_is_no_file_is_told_and_never_opened():
    special()
    assert found() == {"a.dcm": "", **SPECIAL}
    assert why_no_file(Path("in")) == "is a folder, expected a file"


@pytest.mark.parametrize("name", SPECIAL)
def test_reading_what_is_no_file_ends_in_a_sentence(name):
    special()
    with pytest.raises(RadiographError, match=name):
        read(Path("in", name))
    with pytest.raises(DatasetError, match=name):
        radiographs_in(Path("in", name))
    assert Path("in", name) in radiographs_in(Path("in"))


def listed(path):
    return "\n".join(line for line in Path(path).read_text().splitlines())


def test_prepare_lists_all_that_it_cannot_read(locked, capsys):
    special()
    touch("in/locked/1.dcm")
    locked.add("locked")
    assert main(["prepare", "in", "out"]) == 2
    rejected = listed("out/rejected.csv")
    for name, problem in SPECIAL.items():
        assert f"{name},,{problem}" in rejected.replace('"', "")
    assert "locked" in rejected
    assert "Permission denied" in rejected


def test_enhance_lists_all_that_it_cannot_read(locked):
    special()
    touch("in/locked/1.dcm")
    locked.add("locked")
    assert main(["enhance", "in", "--out=out"]) in (2, 4)
    record = listed("out/enhance.jsonl")
    for name, problem in SPECIAL.items():
        assert problem in record, name
    assert "Permission denied" in record
