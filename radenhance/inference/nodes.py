"""Who may send to us, whom we send to, and what proves it: titles, addresses and certificates."""

import ipaddress
import re
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from radenhance.errors import UsageError

_TITLE = re.compile(r"[\x20-\x5b\x5d-\x7e]{1,16}")  # of the VR AE (PS3.5 6.2)


def title_of(text: str) -> str:
    """Return an application entity title without the spaces around it.

    Raises:
        UsageError: It is none.
    """
    title = text.strip()
    if not _TITLE.fullmatch(title):
        raise UsageError(
            f"{text!r} is no AE title, which has 1 to 16 characters of ASCII and no backslash"
        )
    return title


@dataclass(frozen=True)
class Node:
    """A node that images are sent to.

    Args:
        title: Its AE title.
        host: Its name or address.
        port: Its port.
    """

    title: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the node that AET@HOST:PORT names.

        Raises:
            UsageError: It names none.
        """
        title, _, place = text.rpartition("@")
        host, _, port = place.rpartition(":")
        if not (title and host and port.isdecimal() and 0 < int(port) < 65536):
            raise UsageError(
                f"{text!r} names no node, expected AET@HOST:PORT, as PACS@10.0.0.5:104"
            )
        return cls(title_of(title), host.strip("[]"), int(port))

    def addresses(self) -> tuple[str, str]:
        """Return its address, and that to call it from: any of the same family, or loopback.

        Raises:
            OSError: Its address is not known just now.
        """
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        address = str(found[0][4][0])
        parsed = ipaddress.ip_address(address)
        anywhere = "0.0.0.0" if parsed.version == 4 else "::"
        return address, address if parsed.is_loopback else anywhere

    def __str__(self) -> str:
        """Return its title, as logs have it."""
        return self.title


@dataclass(frozen=True)
class Caller:
    """Somebody who may send.

    Args:
        title: The AE title.
        addresses: Addresses that it may call from; None for all.
    """

    title: str
    addresses: frozenset[str] | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the caller that AET or AET@HOST names.

        Raises:
            UsageError: It names none, or nobody knows the address of that host.
        """
        title, at, host = text.partition("@")
        if not at:
            return cls(title_of(title))
        try:
            found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
        except OSError as error:
            raise UsageError(f"{text}: the address of {host!r} is not known here") from error
        return cls(title_of(title), frozenset(plain_address(str(each[4][0])) for each in found))

    def is_who_calls(self, title: str, address: str) -> bool:
        """Return whether this is who calls by a title from an address."""
        return title.strip() == self.title and (
            self.addresses is None or plain_address(address) in self.addresses
        )


def plain_address(address: str) -> str:
    """Return an address in its shortest form; that of IPv4 if it is one within IPv6."""
    parsed = ipaddress.ip_address(address)
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


@dataclass(frozen=True)
class Tls:
    """Files in PEM that prove who is who.

    Args:
        cert: Our certificate, with those up to its authority.
        key: Its private key.
        ca: Certificates of the authorities that others must have theirs from.
    """

    cert: Path
    key: Path
    ca: Path | None = None

    def for_server(self) -> ssl.SSLContext:
        """Return how callers are met; with `ca` they have to have a certificate.

        Raises:
            UsageError: A file is missing, or not what it should be.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._load(context)
        if self.ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def for_client(self) -> ssl.SSLContext:
        """Return how another node is called: by the name that stands in its certificate.

        Raises:
            UsageError: As in `for_server`.
        """
        context = ssl.create_default_context()
        self._load(context)
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        context.minimum_version = ssl.TLSVersion.TLSv1_2  # PS3.15 B.9, BCP 195
        try:
            context.load_cert_chain(self.cert, self.key)
            if self.ca is not None:
                context.load_verify_locations(self.ca)
        except (OSError, ssl.SSLError) as error:
            files = ", ".join(str(path) for path in (self.cert, self.key, self.ca) if path)
            raise UsageError(
                f"the certificates or the key cannot be read ({error.strerror or error}); expected "
                f"PEM, and a key that fits the certificate: {files}"
            ) from error
