"""A node on the network that takes radiographs and passes enhanced ones on.

    caller --C-STORE--> spool/received -> the batch of `enhance` -> spool/enhanced --C-STORE--> next

Three threads share nothing but the folder: one takes, one enhances, one sends. What was sent and
what failed is known by where it lies, so that a kill at any moment loses nothing; at worst an image
is made or sent once more, under the same UIDs.

Callers are strangers until their title and address are on the list, and what they send is bounded:
by connection, by object, on disk and in time. pynetdicom's own logs, which hold values of elements,
are silenced.
"""

import logging
import socketserver
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext
from typing import Any, Literal

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import AE, AllStoragePresentationContexts, Association, evt
from pynetdicom.events import Event
from pynetdicom.transport import AssociationServer
from typing_extensions import override

from radenhance.console import say, say_error
from radenhance.dicom.codecs import CODECS
from radenhance.dicom.derive import DERIVED_CLASSES
from radenhance.errors import DiskError, RadenhanceError, UsageError
from radenhance.foreign_text import one_line
from radenhance.inference.batch import Batch
from radenhance.inference.journal import Record
from radenhance.inference.nodes import Caller, Node, plain_address
from radenhance.inference.spool import Spool
from radenhance.inference.watch import Stop

_Answer = Literal["taken", "refused", "later"]

VERIFICATION = "1.2.840.10008.1.1"
UNCOMPRESSED = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
SYNTAXES = [*UNCOMPRESSED, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, *CODECS]
"""Transfer syntaxes that are taken: those that `dicom.read` reads and `derive` derives from."""

STORED, NO_RESOURCES, WITH_A_WARNING = 0x0000, 0xA700, 0xB000  # PS3.4 B.2.3
LATER = (0x0110,)  # Processing Failure (PS3.7 C), as while a database starts
UNKNOWN_CALLER = 0x01, 0x01, 0x03  # rejected for good (PS3.8 9.3.4)
TOO_MANY = 0x02, 0x03, 0x02  # rejected for now

AT_ONCE = 8
"""Objects between two looks at the folder; each is decoded while the one before is enhanced."""
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 300.0
POLL_SECONDS = 0.5
TIMEOUT_SECONDS = 60.0
CONNECTIONS_BEYOND = 32
"""Connections, besides those of associations, in which nothing was said yet; pynetdicom takes those
that were closed again for such until a title is due."""
TITLE_DUE_SECONDS = 10.0


@dataclass(frozen=True)
class Reception:
    """Where and from whom objects are taken.

    Args:
        host: Address to listen at.
        port: Port; 0 for any that is free.
        title: Our AE title, by which we must be called.
        callers: Who may send.
        max_associations: How many at a time.
        max_object_bytes: Size of the largest object.
        tls: How callers are met, if they are to use TLS.
    """

    host: str
    port: int
    title: str
    callers: Sequence[Caller]
    max_associations: int = 4
    max_object_bytes: int = 2**29
    tls: SSLContext | None = None

    @property
    def addresses(self) -> frozenset[str] | None:
        """Addresses that callers may have; None where a title will do."""
        named = [caller.addresses for caller in self.callers if caller.addresses is not None]
        return frozenset().union(*named) if len(named) == len(self.callers) else None


class Receiver:
    """Takes objects into a spool while it is entered.

    Args:
        reception: Where and from whom.
        spool: Where they go.

    Raises:
        UsageError: That port cannot be listened at.
    """

    def __init__(self, reception: Reception, spool: Spool) -> None:
        self.reception, self.spool = reception, spool
        entity = _entity(reception.title)
        connections = reception.max_associations + CONNECTIONS_BEYOND
        entity.maximum_associations = connections
        entity.require_called_aet = True
        entity.add_supported_context(VERIFICATION)
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(context.abstract_syntax, SYNTAXES)
        handlers = [
            (evt.EVT_CONN_OPEN, self._bound),
            (evt.EVT_REQUESTED, self._check_caller),
            (evt.EVT_C_ECHO, self._echo),
            (evt.EVT_C_STORE, self._store),
        ]
        place = reception.host, reception.port
        try:
            self._server = entity.make_server(
                place, ssl_context=reception.tls, evt_handlers=handlers, server_class=_Server
            )
        except OSError as error:
            raise UsageError(
                f"{place[0]} port {place[1]} cannot be listened at: {error.strerror}; choose "
                f"another port, or end what listens there"
            ) from error
        self._server.known = reception.addresses
        self._server.max_connections = connections
        self.port: int = self._server.server_address[1]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Take objects meanwhile."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._server.stop()
            thread.join()

    def _bound(self, event: Event) -> None:
        connection = event.assoc.dul.socket
        connection.recv = _Allowance(connection.recv, self.reception.max_object_bytes)

    def _check_caller(self, event: Event) -> None:
        association = event.assoc
        title = association.requestor.primitive.calling_ae_title
        address = association.requestor.address
        if not any(caller.is_who_calls(title, address) for caller in self.reception.callers):
            say_error(f"refused a caller that is not on the list: {title} at {address}")
            self._reject(association, UNKNOWN_CALLER)
        elif self._num_established() >= self.reception.max_associations:
            self._reject(association, TOO_MANY)

    def _reject(self, association: Association, why: tuple[int, int, int]) -> None:
        association.acse.send_reject(*why)
        association.kill()

    def _num_established(self) -> int:
        return sum(each.is_established for each in self._server.active_associations)

    def _echo(self, event: Event) -> int:
        event.assoc.dul.socket.recv.renew()
        return STORED

    def _store(self, event: Event) -> int:
        try:
            self.spool.receive(event.encoded_dataset())
        except RadenhanceError as error:
            say_error(str(error))
            return NO_RESOURCES
        event.assoc.dul.socket.recv.renew()
        return STORED


class _Server(AssociationServer):  # type: ignore[misc]
    """Listens; a silent or greedy caller keeps nobody else waiting."""

    max_connections = CONNECTIONS_BEYOND
    known: frozenset[str] | None = None

    @override
    def get_request(self) -> tuple[Any, Any]:
        client, address = self.socket.accept()
        client.settimeout(TIMEOUT_SECONDS)
        if self.ssl_context:
            # the handshake comes with the first byte that is read, in a thread of the caller's own
            client = self.ssl_context.wrap_socket(
                client, server_side=True, do_handshake_on_connect=False
            )
        return client, address

    @override
    def verify_request(self, request: Any, client_address: Any) -> bool:
        address = plain_address(client_address[0])
        if self.known is not None and address not in self.known:
            say_error(f"refused a connection from {address}, where nobody on the list is")
            return False
        return len(self.active_associations) < self.max_connections

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        say_error(f"a connection from {client_address[0]} came to nothing")

    def stop(self) -> None:
        """Listen no more, and end the associations that there are."""
        socketserver.BaseServer.shutdown(self)
        self.server_close()
        for association in self.active_associations:
            association.abort()


class _Allowance:
    """Reads from a connection as much as one object may have, until it is renewed.

    Args:
        receive: What reads.
        max_bytes: The bytes of one object, and what is around it.
    """

    def __init__(self, receive: Callable[[int], bytearray], max_bytes: int) -> None:
        self.receive, self.max_bytes = receive, max_bytes
        self.renew()

    def renew(self) -> None:
        """Let the next object be as large."""
        self.left = self.max_bytes

    def __call__(self, num_bytes: int) -> bytearray:
        """Return so many bytes.

        Raises:
            OSError: That is more than one object may have, which ends the association.
        """
        self.left -= num_bytes
        if self.left < 0:
            say_error(f"an object of more than {self.max_bytes >> 20} MiB was cut off")
            raise OSError("too much")
        return self.receive(num_bytes)


class Forwarder:
    """Sends derived images on while it is entered, and again later where that fails.

    Args:
        node: Whom they go to.
        title: Our AE title.
        spool: Where they come from.
        tls: How the node is called, if by TLS.
    """

    def __init__(
        self, node: Node, title: str, spool: Spool, *, tls: SSLContext | None = None
    ) -> None:
        self.node, self.spool, self.tls = node, spool, tls
        self.entity = _entity(title)
        for uid in sorted(DERIVED_CLASSES):
            self.entity.add_requested_context(uid, UNCOMPRESSED)
        self._ended = threading.Event()
        self._is_down = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Send meanwhile; at the end the image at hand is waited for."""
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join(TIMEOUT_SECONDS)

    def _run(self) -> None:
        pause = PAUSE_SECONDS
        while not self._ended.is_set():
            images = self.spool.derived()
            if not images or self.send(images):
                pause = PAUSE_SECONDS
                self._ended.wait(POLL_SECONDS)
            else:
                self._ended.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def send(self, images: Sequence[Path]) -> bool:
        """Send images; return whether none of them has to be sent again."""
        try:
            association = self._associated()
        except OSError:  # nobody knows its address, as while the network is away
            self._say_down(len(images))
            return False
        answers: Counter[_Answer] = Counter()
        for path in images:
            if self._ended.is_set() or not association.is_established:
                break
            answers[self._send_one(association, path)] += 1
        if association.is_established:
            association.release()
        if answers["taken"]:
            say(f"sent to {self.node}: {answers['taken']}")
        num_waiting = len(images) - answers["taken"] - answers["refused"]
        if num_waiting and not self._ended.is_set():
            self._say_down(num_waiting)
        self._is_down = num_waiting > 0
        return num_waiting == 0

    def _associated(self) -> Association:
        address, own = self.node.addresses()
        tls = {"tls_args": (self.tls, self.node.host)} if self.tls is not None else {}
        return self.entity.associate(
            address, self.node.port, ae_title=self.node.title, bind_address=(own, 0), **tls
        )

    def _send_one(self, association: Association, path: Path) -> _Answer:
        try:
            status = association.send_c_store(dcmread(path)).get("Status")
        except RuntimeError:  # the association ended just now
            return "later"
        except FileNotFoundError:  # somebody took it from the folder
            return "taken"
        except (InvalidDicomError, AttributeError, ValueError, OSError) as error:
            # it is not ours, or the node takes no images of its class
            return self._refused(path, one_line(str(error), 80))
        if status is None or status in LATER or status >> 8 == NO_RESOURCES >> 8:
            return "later"
        if status == STORED or status >> 12 == WITH_A_WARNING >> 12:
            path.unlink(missing_ok=True)
            return "taken"
        return self._refused(path, f"status {status:04X}")

    def _refused(self, path: Path, why: str) -> _Answer:
        self.spool.refuse(path)
        say_error(f"{self.node} refused {path.name} ({why}); it is in {self.spool.folder}/refused")
        return "refused"

    def _say_down(self, num_waiting: int) -> None:
        if not self._is_down:
            say_error(f"{self.node} does not take images; {num_waiting} wait, and are tried again")
        self._is_down = True


def serve(batch: Batch, spool: Spool, stop: Stop) -> Counter[str]:
    """Enhance what comes into a spool until somebody asks to stop; return what became of how many.

    Args:
        batch: What enhances, into the spool's folder for that.
        spool: The folder.
        stop: What notes that somebody asks.
    """
    counts: Counter[str] = Counter()
    at_once = AT_ONCE
    while not stop.asked:
        files = spool.waiting(at_once)
        if not files:
            stop.wait(POLL_SECONDS)
            continue
        try:
            records = batch.run(files, stop=lambda: stop.asked)
            spool.settle(files, records)
        except (DiskError, OSError) as error:
            say_error(str(error))
            stop.wait(LONGEST_PAUSE_SECONDS / 10)
            continue
        except Exception as error:  # a defect, which one object must not make of all that follow
            if len(files) == 1:
                say_error(f"{_where(error)}; please report it. {files[0].path.name} is put aside")
                spool.set_aside(files[0])
            at_once = 1
            continue
        at_once = AT_ONCE
        batch.records.clear()  # the list on disk has them
        counts.update(record.outcome for record in records)
        for record in records:
            say(_line(record))
    return counts


def _where(error: Exception) -> str:
    """Return where an error comes from; what it says may quote a header."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    name = Path(last.filename).name
    return f"a defect of radenhance: {type(error).__name__} in line {last.lineno} of {name}"


def _line(record: Record) -> str:
    reason = f": {record.reason}" if record.reason else f" in {record.seconds:.1f} s"
    return f"{record.key} {record.outcome}{reason}"


def _entity(title: str) -> AE:
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    entity = AE(title)
    entity.network_timeout = entity.dimse_timeout = TIMEOUT_SECONDS
    entity.acse_timeout = entity.connection_timeout = TITLE_DUE_SECONDS
    return entity
