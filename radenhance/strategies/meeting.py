"""Where the processes of a run meet: on one machine, where no other machine can reach them.

torch.distributed listens on all addresses of the machine, for the store in which processes find
each other, and gloo and NCCL on the address that the machine's name has. None of these sockets asks
who connects. Processes of one machine need nothing but its loopback interface, so here they listen
there and nowhere else. Those of several machines must be reachable: the store listens on the one
address that is named, what protects the rest is their network, and a shared secret (`secret.py`)
keeps strangers from taking a place in the run.
"""

import errno
import os
import socket
from datetime import timedelta
from ipaddress import AddressValueError, IPv4Address

import torch
import torch.distributed as dist
from lightning.fabric.plugins import ClusterEnvironment
from lightning.pytorch.utilities import rank_zero_warn
from torch.distributed import TCPStore

from radenhance.compat.lightning import connect
from radenhance.errors import StageError, UsageError
from radenhance.strategies.secret import SECRET, prove, secret_of_run

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
        UsageError: The secrets differ, or the port is taken.
        StageError: The others did not come.
    """
    if dist.is_initialized():
        return
    host, secret = _host_and_secret(environment.main_address, num_nodes)
    rank, num = environment.global_rank(), environment.world_size()
    try:
        store = _store(environment, host, timeout)
        prove(store, rank, num, secret)
        connect(environment, backend, store=store, timeout=timeout, device_id=device)
    except dist.DistBackendError:  # NCCL's, once all have come
        raise
    except RuntimeError as error:  # torch.distributed raises subclasses of it
        raise StageError(
            f"{name} met no other process at {host}:{environment.main_port} within "
            f"{timeout.total_seconds():g} s; start the same command on all machines, with the same "
            f"MASTER_ADDR and MASTER_PORT, which all can reach"
        ) from error


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
        raise UsageError(
            f"port {port} cannot be used: {error.strerror}; set MASTER_PORT to another one"
        ) from error
    except AddressValueError:
        server.close()
        return None
    return server.detach()
