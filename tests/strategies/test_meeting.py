"""Processes meet on loopback where they can, and are told where they waited in vain."""

import os
import socket
import threading
import time
import warnings
from datetime import timedelta
from types import SimpleNamespace
from unittest.mock import Mock

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


def alone(address="127.0.0.1", port=None, size=1, rank=0):
    """The cluster of a run whose rank 0 this is, or another one."""
    return SimpleNamespace(
        main_address=address,
        main_port=port or free_port(),
        global_rank=lambda: rank,
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
    where = f"127.0.0.1:{environment.main_port} within 0.5 s: rank 1 did not come; start the same"
    with pytest.raises(StageError, match=f"rank 0 met no other process at {where}"):
        meet_alone(environment, seconds=0.5)


@pytest.mark.parametrize(
    ("address", "secret", "warned"),
    [("10.0.0.1", "", True), ("10.0.0.1", "0" * 16, False), ("127.0.0.1", "", False)],
)
def test_machines_without_a_secret_are_warned_once(monkeypatch, address, secret, warned):
    monkeypatch.setenv(SECRET, secret)
    for name in ("_choose_interface", "_reached", "_take_place", "prove", "check_equal", "connect"):
        monkeypatch.setattr(meeting, name, lambda *_, **__: None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        meet_alone(alone(address), num_nodes=2)
    assert any(SECRET in str(warning.message) for warning in caught) == warned


def test_the_store_of_torchrun_is_used_where_it_serves(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    made = []
    monkeypatch.setattr(meeting, "TCPStore", lambda *args, **options: made.append((args, options)))
    for name in ("_take_place", "prove", "check_equal", "connect"):
        monkeypatch.setattr(meeting, name, lambda *_, **__: None)
    monkeypatch.setattr(
        meeting, "_reached", lambda where, host, limit, _: meeting._store(where, host, limit)
    )
    meet_alone(alone("agent", port=1))
    ((host, _, _, serves, _), options) = made[0]
    assert (host, serves, options["master_listen_fd"]) == ("agent", False, None)


def test_a_program_that_listens_at_the_port_and_never_answers_is_named_in_time():
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        environment = alone(port=stranger.getsockname()[1], size=2, rank=1)
        since = time.monotonic()
        with pytest.raises(StageError, match="within 1 s: that port .* that no other program has"):
            meet_alone(environment, seconds=1)
        assert time.monotonic() - since < 5


def both(meet_other, port):
    """Meet as ranks 0 and 1, in two threads; return what each is refused with."""
    said = {}

    def meet_as(rank, backend):
        try:
            environment = alone(port=port, size=2, rank=rank)
            limit = timedelta(seconds=5)
            meet(environment, backend, num_nodes=1, name=f"rank {rank}", timeout=limit)
        except UsageError as error:
            said[rank] = str(error)

    threads = [threading.Thread(target=meet_as, args=one) for one in meet_other]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said


def test_processes_with_other_backends_are_told_which():
    said = both([(0, "gloo"), (1, "nccl")], free_port())
    assert said[0].startswith("rank 0 has process_group_backend gloo, rank 1 has nccl; give all")
    assert said[1].startswith("rank 1 has process_group_backend nccl, rank 0 has gloo; give all")


def test_two_processes_of_one_rank_are_told_apart(monkeypatch):
    store = dist.HashStore()
    meeting._take_place(store, 1)
    with pytest.raises(UsageError, match="two processes of this run have rank 1; give each machin"):
        meeting._take_place(store, 1)


@on_linux
def test_the_interface_is_that_which_leads_to_the_first_machine(monkeypatch):
    assert meeting.interface_towards("127.0.0.1", 1) == "lo"
    meeting._choose_interface("127.0.0.1", 1)
    assert os.environ["GLOO_SOCKET_IFNAME"] == "lo"
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth7")
    meeting._choose_interface("127.0.0.1", 1)
    assert os.environ["GLOO_SOCKET_IFNAME"] == "eth7"
    monkeypatch.setattr(socket, "getaddrinfo", Mock(side_effect=socket.gaierror))
    assert meeting.interface_towards("a-machine-without-a-name", 1) is None
