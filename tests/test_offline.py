"""No command reaches for a network.

The tests of the other commands show it as well: `conftest.py` watches every test.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import loopback
import pytest

import radenhance

LINES = """
--help
synthesize made --cats=2 --dogs=0 --turtles=0 --spacing-mm=2 --processes=2
fit FLAGS --trainer.max_epochs=1 --data.num_workers=1
predict --data.predict_from=tiny/raw --trainer.accelerator=cpu
"""

SET_HERE = ("HF_HUB_OFFLINE", "NO_ALBUMENTATIONS_UPDATE")
"""Variables that this process has from `conftest.py` and from `radenhance.compat`."""

PROGRAM = """
import sys, urllib.request
from radenhance.cli import main
from radenhance.command_line import dashboard

for line in sys.argv[1].strip().splitlines():
    assert main(line.split()) == 0, line
address = dashboard.serve(dashboard.parse(["dashboard"]))
urllib.request.urlopen(address).read()
"""


def test_commands_and_what_they_start_open_no_socket_that_leads_out_of_this_machine(
    tmp_path, tiny_flags
):
    (tmp_path / "site").mkdir()
    shutil.copy(loopback.__file__, tmp_path / "site/sitecustomize.py")
    sockets = tmp_path / "sockets.txt"
    paths = [str(tmp_path / "site"), str(Path(radenhance.__file__).parents[1])]
    clean = {name: value for name, value in os.environ.items() if name not in SET_HERE}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, LINES.replace("FLAGS", " ".join(tiny_flags))],
        env=clean | {"RADENHANCE_SOCKETS": str(sockets), "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert not sockets.exists(), sockets.read_text()


@pytest.mark.parametrize(
    "call",
    [
        "urllib.request.urlopen('http://192.0.2.1', timeout=0.01)",
        "socket.getaddrinfo('example.invalid', 80)",
        "socket.create_server(('0.0.0.0', 0))",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'', ('192.0.2.1', 9))",
    ],
)
def test_a_socket_that_leads_out_is_noticed(tmp_path, call):
    shutil.copy(loopback.__file__, tmp_path / "sitecustomize.py")
    sockets = tmp_path / "sockets.txt"
    environment = {"RADENHANCE_SOCKETS": str(sockets), "PYTHONPATH": str(tmp_path)}
    program = f"import socket, urllib.request; {call}"
    subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, check=False
    )
    assert sockets.read_text()
