"""Processes meet on loopback where they can, and are told where they waited in vain."""

import os
import socket
import warnings
from datetime import timedelta
from types import SimpleNamespace

import pytest
import torch.distributed as dist
from listening import is_loopback, listening
from processes import free_port

from radenhance.errors import StageError, UsageError
from radenhance.strategies import meeting
from radenhance.strategies.meeting import meet, stay_on_loopback
from radenhance.strategies.secret import SECRET

on_linux = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="reads /proc")


@pytest.fixture(autouse=True)
def _a_shell_that_names_nothing(monkeypatch):
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME", SECRET, "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "x" * 20)
        monkeypatch.delenv(name)


def alone(address="127.0.0.1", port=None, size=1):
    """The cluster of a run whose rank 0 this is."""
    return SimpleNamespace(
        main_address=address,
        main_port=port or free_port(),
        global_rank=lambda: 0,
        world_size=lambda: size,
    )


def meet_alone(environment, num_nodes=1, seconds=30):
    timeout = timedelta(seconds=seconds)
    try:
        meet(environment, "gloo", num_nodes=num_nodes, name="rank 0", timeout=timeout)
        return [address for address in listening() if not is_loopback(address)]
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


@on_linux
@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "the-name-of-this-machine"])
def test_a_run_on_one_machine_listens_on_loopback_alone(address):
    before = len([address for address in listening() if not is_loopback(address)])
    assert len(meet_alone(alone(address))) == before


@on_linux
def test_several_machines_that_name_loopback_listen_there_alone_too():
    before = len([address for address in listening() if not is_loopback(address)])
    assert len(meet_alone(alone(), num_nodes=2)) == before


@on_linux
def test_the_store_listens_on_the_one_address_that_is_named():
    # another address that this machine has: all of 127.0.0.0/8 is loopback under Linux
    before = listening()
    store = meeting._store(alone("127.0.0.2"), "127.0.0.2", timedelta(seconds=5))
    assert [str(address) for address in listening() if address not in before] == ["127.0.0.2"]
    del store


@pytest.mark.parametrize("host", ["the-name-of-a-machine", "198.51.100.1"])
def test_where_the_address_is_not_this_machines_torch_listens(host):
    assert meeting._listening(host, free_port()) is None


def test_an_interface_that_the_shell_names_is_that_of_runs_on_several_machines(monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth7")
    stay_on_loopback()
    assert os.environ["GLOO_SOCKET_IFNAME"] in ("lo", "lo0")
    assert os.environ["NCCL_SOCKET_IFNAME"] in ("lo", "lo0")


def test_a_port_that_another_program_has_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} cannot be used: .*set MASTER_PORT"):
            meet_alone(alone(port=port))


def test_meeting_nobody_says_where_it_waited():
    environment = alone(size=2)
    where = f"127.0.0.1:{environment.main_port} within 0.5 s; start the same command on all"
    with pytest.raises(StageError, match=f"rank 0 met no other process at {where}"):
        meet_alone(environment, seconds=0.5)


@pytest.mark.parametrize(
    ("address", "secret", "warned"),
    [("10.0.0.1", "", True), ("10.0.0.1", "0" * 16, False), ("127.0.0.1", "", False)],
)
def test_machines_without_a_secret_are_warned_once(monkeypatch, address, secret, warned):
    monkeypatch.setenv(SECRET, secret)
    for name in ("_store", "prove", "connect"):
        monkeypatch.setattr(meeting, name, lambda *_, **__: None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        meet_alone(alone(address), num_nodes=2)
    assert any(SECRET in str(warning.message) for warning in caught) == warned


def test_the_store_of_torchrun_is_used_where_it_serves(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    made = []
    monkeypatch.setattr(meeting, "TCPStore", lambda *args, **options: made.append((args, options)))
    for name in ("prove", "connect"):
        monkeypatch.setattr(meeting, name, lambda *_, **__: None)
    meet_alone(alone("agent", port=1))
    ((host, _, _, serves, _), options) = made[0]
    assert (host, serves, options["master_listen_fd"]) == ("agent", False, None)
