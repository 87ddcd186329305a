"""The TCP connections between the processes of a run: kept alive, and cut where one must not wait.

A process that waits in gloo for another one cannot be interrupted, not by a signal and not by
gloo's own `abort`. It ends its wait when the connection breaks, and this process may break it.
"""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

IDLE_S = 60
"""Seconds without traffic after which the system asks whether the other side is there: firewalls
forget connections that are idle for minutes."""


class Connections:
    """Connections that were made in a block."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note the connections that are made in the block, and keep them alive."""
        before = _sockets_open()
        yield
        for inode, descriptor in _sockets_open().items():
            if inode not in before:
                with suppress(OSError):
                    self._note(descriptor)

    def cut(self) -> None:
        """Break the connections, so that whoever waits for data of them gets an error at once."""
        for one in self._sockets:
            with suppress(OSError):  # it is broken
                one.shutdown(socket.SHUT_RDWR)
        self.forget()

    def forget(self) -> None:
        """Leave the connections to those that made them."""
        for one in self._sockets:
            one.close()
        self._sockets.clear()

    def _note(self, descriptor: int) -> None:
        noted = socket.socket(fileno=os.dup(descriptor))
        try:
            noted.getpeername()  # one that listens has none
            noted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_KEEPIDLE"):
                noted.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE_S)
        except OSError:
            noted.close()
            raise
        self._sockets.append(noted)


def _sockets_open() -> dict[int, int]:
    """Return the sockets of this process, by inode."""
    found = {}
    for name in os.listdir("/dev/fd"):
        with suppress(OSError):  # the listing itself has one, which is closed by now
            status = os.fstat(int(name))
            if stat.S_ISSOCK(status.st_mode):
                found[status.st_ino] = int(name)
    return found
