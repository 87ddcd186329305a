import json
import os
import signal
import sys
from pathlib import Path

import pytest
from clinic_files import named_dataset, save

from radenhance.cli import main
from radenhance.command_line import serve as command

COMMAND = ["serve", "--spool=spool", "--allow=CR1", "--port=0", "--preset=soft"]


@pytest.fixture
def stopped(monkeypatch):
    """Ask to stop as soon as the node listens; returns what was said."""
    said = []

    def say(text):
        said.append(text)
        if "listens" in text:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(command, "say", say)
    return said


def test_a_node_listens_on_loopback_and_ends_with_0_on_sigterm(stopped, capsys):
    assert main(COMMAND) == 0
    assert stopped[0].startswith("RADENHANCE listens at 127.0.0.1 port ")
    assert stopped[1:] == ["nothing came"]
    assert capsys.readouterr().err == ""


def test_only_the_owner_can_read_what_came(stopped):
    assert main(COMMAND) == 0
    assert {path.stat().st_mode & 0o077 for path in Path("spool").iterdir()} == {0}


def test_other_settings_begin_another_list_and_keep_the_former(stopped):
    assert main(COMMAND) == 0
    save(named_dataset(), Path("spool/received/a.dcm"))
    assert main([*COMMAND[:-1], "--preset=bone"]) == 0
    lists = sorted(path.name for path in Path("spool/enhanced").glob("*.jsonl"))
    assert lists == ["1-enhance.jsonl", "enhance.jsonl"]
    settings = [
        json.loads((Path("spool/enhanced") / name).read_text().splitlines()[0])["settings"]
        for name in lists
    ]
    assert ["soft" in each["enhancer"] for each in settings] == [True, False]
    assert Path("spool/received/a.dcm").exists()  # it was asked to stop before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--tls-cert=own.pem"], "TLS needs --tls-cert and --tls-key both"),
        (["--tls-ca=ca.pem"], "TLS needs --tls-cert and --tls-key both"),
        (["--forward=PACS"], "'PACS' names no node, expected AET@HOST:PORT"),
        (["--forward=P@127.0.0.1:1", "--forward-tls"], "--forward-tls needs --forward, --tls-cert"),
        (["--aet=much too long for one"], "is no AE title"),
        (["export"], "export: no such file; give a checkpoint, last or best"),
    ],
)
def test_flags_that_do_not_go_together_are_said(flags, message, capsys):
    assert main([*COMMAND, *flags]) == 2
    assert message in capsys.readouterr().err
    assert not Path("spool/enhanced").exists()


def test_serve_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pynetdicom", None)
    assert main(COMMAND) == 2
    assert "pip install 'radenhance[serve]'" in capsys.readouterr().err
