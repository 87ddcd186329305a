"""`radenhance dashboard` as a user starts and stops it."""

import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest
from torch.utils.tensorboard import SummaryWriter

from radenhance.cli import main


@pytest.fixture
def runs():
    with SummaryWriter("lightning_logs/version_0") as writer:
        writer.add_scalar("val/loss", 1.0, 0)


def test_without_runs_it_says_how_to_get_some(capsys):
    assert main(["dashboard"]) == 2
    assert "lightning_logs has no runs to show; start one with" in capsys.readouterr().err


def test_a_port_in_use_is_said_in_one_sentence(runs, capsys):
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        assert main(["dashboard", f"--port={taken.getsockname()[1]}"]) == 2
    assert "already in use); choose another with --port" in capsys.readouterr().err


@pytest.mark.usefixtures("_interruptible")
def test_it_serves_the_runs_until_ctrl_c(runs):
    command = [sys.executable, "-m", "radenhance", "dashboard"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        url = process.stdout.readline().strip()
        page = r"\?smoothing=0#custom_scalars&_smoothingWeight=0"
        assert re.fullmatch(rf"http://localhost:\d+/{page}", url), process.stderr.read()
        with urllib.request.urlopen(url) as page:
            assert "TensorBoard" in page.read().decode()
        process.send_signal(signal.SIGINT)
        try:
            _, errors = process.communicate(timeout=20)
        finally:
            process.kill()  # where it goes on, the test fails instead of waiting for it
    assert process.returncode == 0
    assert "Traceback" not in errors
