"""Where the processes of a run meet: on one machine, where no other machine can reach them.

torch.distributed listens on all addresses of the machine, for the store in which processes find
each other, and gloo and NCCL on the address that the machine's name has. None of these sockets asks
who connects. Processes of one machine need nothing but its loopback interface, so here they listen
there and nowhere else. Those of several machines must be reachable: the store listens on the one
address that is named, what protects the rest is their network, and a shared secret (`secret.py`)
keeps strangers from taking a place in the run.
"""

import errno
import fcntl
import os
import socket
import struct
import threading
from datetime import timedelta
from ipaddress import AddressValueError, IPv4Address

import torch
import torch.distributed as dist
from lightning.fabric.plugins import ClusterEnvironment
from lightning.pytorch.utilities import rank_zero_warn
from torch.distributed import TCPStore

from radenhance.compat.lightning import connect
from radenhance.errors import StageError, UsageError
from radenhance.strategies.secret import SECRET, check_equal, prove, secret_of_run

SAME_COMMAND = (
    "start the same command on all machines, with the same MASTER_ADDR and MASTER_PORT, which all "
    "can reach"
)

GRACE_S = 2.0
"""Seconds that a store may take to say that its own time-out has passed."""

SIOCGIFADDR = 0x8915

LOOPBACK = "127.0.0.1"
LOOPBACK_NAMES = ("lo", "lo0")
"""The interface, under Linux and under macOS."""


def meet(
    environment: ClusterEnvironment,
    backend: str,
    *,
    num_nodes: int,
    name: str,
    timeout: timedelta,
    device: torch.device | None = None,
) -> None:
    """Let this process meet the others, once they have proved that they know the secret.

    Args:
        environment: Address, ranks and number of the processes.
        backend: Name that torch.distributed has for it, nccl or gloo.
        num_nodes: Number of machines.
        name: What this process is called in messages.
        timeout: Time after which a process that waits for others gives up.
        device: GPU to connect at once, or None.

    Raises:
        UsageError: The secrets or the backends differ, two have one rank, or the port is taken.
        StageError: The others did not come, or cannot be connected; the message says which.
    """
    if dist.is_initialized():
        return
    host, secret = _host_and_secret(environment.main_address, num_nodes)
    rank, num = environment.global_rank(), environment.world_size()
    where = f"{host}:{environment.main_port}"
    limit = f"{timeout.total_seconds():g} s"
    _choose_interface(host, environment.main_port)
    store = _reached(environment, host, timeout, name)
    try:
        _take_place(store, rank)
        prove(store, rank, num, secret)
        check_equal(store, rank, num, backend, _gpu_of_its_own(backend, device))
    except RuntimeError as error:  # torch.distributed raises subclasses of it
        others = [other for other in range(num) if other != rank and not _came(store, other)]
        missing = " and ".join(map(str, others)) or "another process"
        raise StageError(
            f"{name} met no other process at {where} within {limit}: rank {missing} did not come; "
            f"{SAME_COMMAND}, and NODE_RANK from 0 up"
        ) from error
    try:
        # gloo connects no GPU; torch 2.11 does not divide a group of gloo that was given one
        own = device if backend == dist.Backend.NCCL else None
        connect(environment, backend, store=store, timeout=timeout, device_id=own)
    except dist.DistBackendError:  # NCCL's, which says what it is
        raise
    except RuntimeError as error:
        raise StageError(
            f"{name} met all others at {where}, but {backend} does not connect them within "
            f"{limit}; set GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME to the interface between the "
            f"machines, and let their firewalls pass all ports between them"
        ) from error


def _gpu_of_its_own(backend: str, device: torch.device | None) -> str:
    """Return what tells the GPU that NCCL uses from all others of all machines."""
    if backend != dist.Backend.NCCL or not torch.cuda.is_available():
        return ""
    index = torch.cuda.current_device() if device is None else device
    return str(torch.cuda.get_device_properties(index).uuid)


def _reached(environment: ClusterEnvironment, host: str, timeout: timedelta, name: str) -> TCPStore:
    """Return the store in which processes meet.

    A program that listens at the port and never answers is waited for in a thread alone.
    """
    made: list[TCPStore | RuntimeError | UsageError] = []

    def make() -> None:
        try:
            made.append(_store(environment, host, timeout))
        except (RuntimeError, UsageError) as error:
            made.append(error)

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    thread.join(timeout.total_seconds() + GRACE_S)
    found = made[0] if made else RuntimeError("no answer")
    if isinstance(found, TCPStore):
        return found
    if isinstance(found, UsageError):
        raise found
    where = f"{host}:{environment.main_port}"
    if "EADDRINUSE" in str(found):
        raise _port_is_taken(environment.main_port, "Address already in use") from found
    what = "does not answer" if not made else "is reached by no process of this run"
    raise StageError(
        f"{name} met no other process at {where} within {timeout.total_seconds():g} s: that port "
        f"{what}; {SAME_COMMAND}, and a port that no other program has"
    ) from found


def _take_place(store: TCPStore, rank: int) -> None:
    # torchrun gives the ranks itself, and its store is that of an earlier attempt, too
    if store.add(f"radenhance/place/{rank}", 1) > 1 and not _agent_serves():
        raise UsageError(
            f"two processes of this run have rank {rank}; give each machine a NODE_RANK of its own"
        )


def _came(store: TCPStore, rank: int) -> bool:
    try:
        return bool(store.check([f"radenhance/place/{rank}"]))
    except RuntimeError:  # the process that serves the store has ended
        return True


def _choose_interface(host: str, port: int) -> None:
    """Let gloo listen on the interface that leads to the first machine, unless one is named.

    By itself it takes the address that the machine's name has, which may be loopback's, or none.
    """
    if "GLOO_SOCKET_IFNAME" in os.environ:
        return
    name = interface_towards(host, port)
    if name is not None:
        os.environ["GLOO_SOCKET_IFNAME"] = name


def interface_towards(host: str, port: int) -> str | None:
    """Return the name of the interface whose address packets to a host have, None if unknown.

    Nothing is sent.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)
            own = probe.getsockname()[0]
            names = [name for _, name in socket.if_nameindex()]
            return next((name for name in names if _address_of(probe, name) == own), None)
    except OSError:
        return None


def _address_of(probe: socket.socket, interface: str) -> str | None:
    """Return an interface's address under Linux; Python has no other call for it."""
    request = struct.pack("256s", interface.encode()[:15])
    try:
        answer = fcntl.ioctl(probe.fileno(), SIOCGIFADDR, request)
    except OSError:  # it has none
        return None
    return socket.inet_ntoa(answer[20:24])


def _host_and_secret(address: str, num_nodes: int) -> tuple[str, str | None]:
    one_machine = num_nodes == 1
    secret = secret_of_run(one_machine=one_machine)
    if one_machine or address in (LOOPBACK, "localhost"):
        stay_on_loopback()
        return address if _agent_serves() else LOOPBACK, secret
    if secret is None:
        rank_zero_warn(
            f"the machines of this run share no secret: whoever reaches their ports can take part. "
            f"Set {SECRET} to the same long random text on all of them"
        )
    return address, secret


def stay_on_loopback() -> None:
    """Let gloo and NCCL listen on the loopback interface, whatever the user's shell names."""
    for _, name in socket.if_nameindex():
        if name in LOOPBACK_NAMES:
            os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = name


def _store(environment: ClusterEnvironment, host: str, timeout: timedelta) -> TCPStore:
    port = environment.main_port
    serves = environment.global_rank() == 0 and not _agent_serves()
    return TCPStore(
        host,
        port,
        environment.world_size(),
        serves,
        timeout,
        wait_for_workers=False,  # they are waited for by name
        multi_tenant=True,
        master_listen_fd=_listening(host, port) if serves else None,
    )


def _agent_serves() -> bool:
    """Return whether torchrun serves the store: it listens before this program begins."""
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def _listening(host: str, port: int) -> int | None:
    """Return a socket that listens on one address alone; TCPStore closes it.

    None where `host` is a name, or an address that is translated to this machine's: the machine's
    own addresses are then not known, and TCPStore listens on all of them.
    """
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((str(IPv4Address(host)), port))
        server.listen()
    except OSError as error:
        server.close()
        if error.errno == errno.EADDRNOTAVAIL:
            return None
        raise _port_is_taken(port, error.strerror) from error
    except AddressValueError:
        server.close()
        return None
    return server.detach()


def _port_is_taken(port: int, why: str | None) -> UsageError:
    return UsageError(
        f"port {port} cannot be used: {why}; set MASTER_PORT to another one, or is another process "
        f"of this machine rank 0, too?"
    )
