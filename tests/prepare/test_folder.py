import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import radenhance
from radenhance.prepare.folder import made_whole


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


def test_a_folder_that_succeeds_is_readable_and_leaves_nothing_beside_it():
    with made_whole(Path("deep/down/out")) as folder:
        assert folder.parent == Path("deep/down")
        assert {path.name for path in folder.iterdir()} == {"raw", "target"}
        (folder / "pairs.csv").write_text("all")
        assert not Path("deep/down/out").exists()
    assert [path.name for path in Path("deep/down").iterdir()] == ["out"]
    assert Path("deep/down/out").stat().st_mode & 0o777 == 0o755


def test_ctrl_c_leaves_nothing():
    def interrupted():
        with made_whole(Path("out")):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(Path().iterdir()) == []


def test_a_kill_in_between_leaves_no_dataset():
    code = (
        "import os, pathlib, signal\n"
        "from radenhance.prepare.folder import made_whole\n"
        "with made_whole(pathlib.Path('out')) as folder:\n"
        "    (folder / 'pairs.csv').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(radenhance.__file__).parents[1])}
    result = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert result.returncode == -signal.SIGKILL
    assert not Path("out").exists()
    with made_whole(Path("out")) as folder:
        (folder / "pairs.csv").write_text("whole")
    assert Path("out/pairs.csv").read_text() == "whole"


def test_a_dataset_that_is_there_is_not_replaced():
    Path("out").mkdir()
    Path("out/pairs.csv").write_text("mine")
    with made_whole(Path("out")) as folder:
        (folder / "pairs.csv").write_text("other")
    assert Path("out/pairs.csv").read_text() == "mine"
