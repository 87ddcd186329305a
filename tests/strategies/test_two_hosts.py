"""Two hosts: network namespaces with a cable between them, which can be cut.

The names of the hosts lead nowhere: that the cable is the way to the other one is found out.
"""

import ctypes
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from noise_fit import ALONE, BOTH, LAST, TRAINING, assert_same_run, content, noise_fit
from processes import command, run, run_nodes, start, wait_for_checkpoint

ROOT = Path(__file__).parents[2]
ADDRESSES = ("10.77.0.1", "10.77.0.2")
CABLE = "cable"
PORT = "29500"
TIMEOUT_S = 6
CLONE_NEWNET = 0x40000000
TORCHRUN = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
PAIR, ROWS = "EncoderDecoderStrategy", "RowsStrategy"
NAMES = {PAIR: ("the decoder (rank 0)", "the encoder (rank 1)"), ROWS: ("rank 0", "rank 1")}


@dataclass
class Host:
    """A network namespace, with a network interface named as the cable."""

    namespace: str
    rank: int

    def plug_in(self):
        self.ip("link", "set", CABLE, "up")

    def pull_out(self):
        self.ip("link", "set", CABLE, "down")

    def ip(self, *arguments):
        subprocess.run(["ip", "-n", self.namespace, *arguments], check=True)

    def start(self, *arguments, folder, **environment):
        """Start Python on it."""
        folder.mkdir(parents=True, exist_ok=True)
        threads = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        output_path = folder.parent / f"{folder.name}-{self.rank}.txt"
        with output_path.open("w") as output:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace, sys.executable, *arguments],
                cwd=folder,
                env={**os.environ, **threads, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return Started(process, output_path)


@dataclass
class Started:
    """A process on a host."""

    process: subprocess.Popen
    output_path: Path

    def wait(self, seconds):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"still running:\n{self.output}") from None

    @property
    def output(self):
        return self.output_path.read_text()


@pytest.fixture(scope="module")
def hosts():
    names = [f"radenhance-{os.getpid()}-{rank}" for rank in range(2)]
    if shutil.which("ip") is None:
        pytest.skip("two hosts need the command ip, of iproute2")
    try:
        for name in names:
            made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
            if made.returncode:
                pytest.skip(f"two hosts need network namespaces: {made.stderr.strip()}")
        first, second = (Host(name, rank) for rank, name in enumerate(names))
        peer = ["peer", "name", CABLE, "netns", second.namespace]
        first.ip("link", "add", CABLE, "type", "veth", *peer)
        for host in (first, second):
            host.ip("address", "add", f"{ADDRESSES[host.rank]}/24", "dev", CABLE)
            host.ip("link", "set", "lo", "up")
            host.plug_in()
        yield first, second
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    return [*noise_fit(tmp_path_factory.mktemp("data") / "noise"), *TRAINING]


def by_environment(host, flags, folder):
    where = {"MASTER_ADDR": ADDRESSES[0], "MASTER_PORT": PORT, "NODE_RANK": str(host.rank)}
    where["RADENHANCE_SECRET"] = "of both hosts, and long"  # pragma: allowlist secret
    arguments = [host.namespace, *flags, *BOTH]
    return start(command_on, *arguments, folder=folder, name=str(host.rank), **where)


def command_on(namespace, *arguments):
    """The command line on a host, as `ip netns exec` starts it there."""
    with open(f"/run/netns/{namespace}") as file:
        assert ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET) == 0
    return command(*arguments)


def by_torchrun(host, flags, folder):
    where = [f"--master-addr={ADDRESSES[0]}", f"--master-port={PORT}", f"--node-rank={host.rank}"]
    return host.start(*TORCHRUN, *where, "-m", "radenhance", *flags, *BOTH, folder=folder)


def test_two_hosts_make_the_one_checkpoint_of_one_device(tmp_path, hosts, flags):
    """As `torchrun` starts them; the next test starts them by their environment."""
    flags = [*flags, "--trainer.max_epochs=1"]
    both = [by_torchrun(host, flags, tmp_path / f"host{host.rank}") for host in hosts]
    run(command, *flags, *ALONE, folder=tmp_path / "alone")
    for process in both:
        assert process.wait(60) == 0, process.output
    assert not (tmp_path / "host1" / LAST).exists()
    assert_same_run(tmp_path / "host0", tmp_path / "alone")


@pytest.mark.parametrize("strategy", NAMES)
def test_hosts_whose_cable_is_cut_say_so_in_time_and_go_on_from_there(
    tmp_path, hosts, flags, strategy
):
    folder = tmp_path / "shared"
    by = [f"--trainer.strategy=radenhance.strategies.{strategy}"]
    by.append(f"--trainer.strategy.timeout_s={TIMEOUT_S}")
    endless = [*flags, *by, "--trainer.max_epochs=1000", "--last_checkpoint.every_n_steps=1"]
    both = [by_environment(host, endless, folder) for host in hosts]
    wait_for_checkpoint(folder, both)
    hosts[1].pull_out()
    since = time.monotonic()
    for process, other in zip(both, reversed(NAMES[strategy]), strict=True):
        assert process.wait(TIMEOUT_S + 26).code == 5, process.output
        what = (
            f"nothing came from {other} for {TIMEOUT_S} s at ",
            f"the connection to {other} broke at ",  # as the kernel says where it has no route
        )
        said = process.output.splitlines()[-1].removeprefix("radenhance: ")
        assert said.startswith(what), process.output
        assert "the network between them is cut" in process.output
        assert "Traceback" not in process.output
    assert time.monotonic() - since < TIMEOUT_S + 25

    hosts[1].plug_in()
    until = [*flags, f"--trainer.max_epochs={content(folder)['epoch'] + 2}"]
    resumed = [*until, *by, "--ckpt_path=last"]
    both = [by_environment(host, resumed, folder) for host in hosts]
    if strategy == ROWS:  # whose sums have another order than those of one device
        run_nodes(command, *until, *by, *BOTH, folder=tmp_path / "whole")
    else:
        run(command, *until, *ALONE, folder=tmp_path / "whole")
    for process in both:
        assert process.wait(60).code == 0, process.output
    assert_same_run(folder, tmp_path / "whole")
