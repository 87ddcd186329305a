"""Notices sockets that lead out of this machine, by Python's audit events.

As a module `sitecustomize` it does so in every process that Python starts. Sockets of C++, such as
those of gloo, have no such events.
"""

import os
import sys
from pathlib import Path

LOOPBACK = ("localhost", "::1", b"localhost", b"127.0.0.1", None, "")
NOWHERE = ("127.", "198.51.100.")
"""Beginnings of the other addresses of loopback, and of those that no machine has (RFC 5737)."""
ASKED = {
    "socket.connect": lambda socket, address: address,
    "socket.bind": lambda socket, address: address,
    "socket.sendto": lambda socket, address: address,
    "socket.getaddrinfo": lambda host, *_: (host,),
    "socket.gethostbyname": lambda host: (host,),
    "socket.gethostbyaddr": lambda host: (host,),
}
"""Event -> what it says of the host; a path or bytes are a socket of this machine alone."""


def watch(notice):
    """Call `notice` with the event and the host of each socket that leads elsewhere."""

    def hook(event, arguments):
        if event in ASKED:
            address = ASKED[event](*arguments)
            if isinstance(address, tuple) and not _stays_here(address[0]):
                notice(f"{event} {address[0]}")

    sys.addaudithook(hook)


def _stays_here(host):
    return host in LOOPBACK or (isinstance(host, str) and host.startswith(NOWHERE))


def write_down(line):
    with Path(os.environ["RADENHANCE_SOCKETS"]).open("a") as file:
        file.write(f"{line}\n")


if "RADENHANCE_SOCKETS" in os.environ:
    watch(write_down)
