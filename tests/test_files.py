import errno
import os

import pytest

from radenhance.errors import RadenhanceError
from radenhance.files import replace_file


def test_content_is_written_and_nothing_else_is_left(tmp_path):
    replace_file(tmp_path / "a.txt", b"first")
    replace_file(tmp_path / "a.txt", memoryview(b"second"))
    assert (tmp_path / "a.txt").read_bytes() == b"second"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "its disk or quota is full; free some space"),
        (errno.EDQUOT, "its disk or quota is full"),
        (errno.EACCES, "cannot be written: Permission denied"),
    ],
)
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch, step, number, message):
    path = tmp_path / "a.txt"
    path.write_bytes(b"first")

    def fail(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(RadenhanceError, match=message):
        replace_file(path, b"second")
    assert path.read_bytes() == b"first"
    assert [found.name for found in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RadenhanceError, match=r"missing/a\.txt cannot be written: No such file"):
        replace_file(tmp_path / "missing/a.txt", b"")
