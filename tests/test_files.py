import errno
import fcntl
import os
import resource
import signal
import uuid

import pytest

from radenhance.errors import DiskError, RadenhanceError
from radenhance.files import new_part, remove_left_parts, replace_file


def forked(function):
    """Run a function in a forked process to its end; return how that was, as `os.wait` has it."""
    child = os.fork()
    if child == 0:
        os._exit(function())
    return os.waitpid(child, 0)[1]


def leave_part(folder, is_folder=False):
    """Be killed in the middle of a write, in another process."""

    def killed():
        with new_part(folder, is_folder=is_folder) as part:
            (part / "file" if is_folder else part).write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)

    assert os.WTERMSIG(forked(killed)) == signal.SIGKILL


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
        (errno.EIO, "its disk reports an error"),
        (errno.EROFS, "its disk is read-only"),
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
    with pytest.raises(RadenhanceError, match=message) as caught:
        replace_file(path, b"second")
    assert isinstance(caught.value, DiskError) == (number != errno.EACCES)
    assert path.read_bytes() == b"first"
    assert [found.name for found in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RadenhanceError, match=r"missing/a\.txt cannot be written: No such file"):
        replace_file(tmp_path / "missing/a.txt", b"")


def test_a_file_larger_than_the_limit_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"first")

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            replace_file(path, bytes(2000))
        except DiskError as error:
            return 0 if "ulimit -f" in str(error) else 1
        return 2

    assert forked(limited) == 0
    assert path.read_bytes() == b"first"
    assert [found.name for found in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("is_folder", [False, True])
def test_what_a_killed_process_left_is_removed_by_the_next_that_writes_there(tmp_path, is_folder):
    for _ in range(3):
        leave_part(tmp_path, is_folder)
        (part,) = tmp_path.iterdir()  # each removed what the one before had left
        assert part.name.endswith(".part")
    replace_file(tmp_path / "a.txt", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_part_that_another_process_writes_stays(tmp_path):
    with new_part(tmp_path) as part:
        part.write_text("half")
        assert forked(lambda: replace_file(tmp_path / "a.txt", b"") or 0) == 0
        assert part.read_text() == "half"
        os.replace(part, tmp_path / "b.txt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.txt"]


def test_files_of_others_stay_whatever_they_are_called(tmp_path):
    name = f".radenhance-{uuid.uuid4().hex}.part"
    for other in (f".{uuid.uuid4().hex}.part", "a.part", f"{name}.bak", name[1:], name.upper()):
        (tmp_path / other).touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/mine.txt").touch()
    (tmp_path / name).symlink_to("elsewhere")
    before = sorted(tmp_path.rglob("*"))
    remove_left_parts(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_part_that_is_removed_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    lock, removed = fcntl.flock, []

    def late(descriptor, operation):
        if not removed:
            removed.extend(tmp_path.iterdir())
            removed[0].unlink()
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    replace_file(tmp_path / "a.txt", b"whole")
    assert removed
    assert (tmp_path / "a.txt").read_bytes() == b"whole"


def test_where_nothing_can_be_locked_files_are_written_and_parts_stay(tmp_path, monkeypatch):
    leave_part(tmp_path)
    (part,) = tmp_path.iterdir()

    def no_locks(descriptor, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    replace_file(tmp_path / "a.txt", b"whole")
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", part.name}
