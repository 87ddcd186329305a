"""`radenhance serve`: radiographs by DICOM from one node, enhanced radiographs to the next."""

import argparse
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from radenhance.command_line.arguments import named_checkpoint
from radenhance.command_line.enhance import add_flags_of_enhancer, enhancer_of
from radenhance.compat.glibc import keep_heap_small
from radenhance.console import Parser, say, say_error
from radenhance.errors import UsageError
from radenhance.extras import require_extra
from radenhance.inference.batch import Batch, Settings
from radenhance.inference.nodes import Caller, Node, Tls, title_of
from radenhance.inference.outputs import BURNED_IN, Output
from radenhance.inference.spool import Spool
from radenhance.inference.watch import Stop

MIB, GIB = 2**20, 2**30


def main(arguments: Sequence[str]) -> None:
    """Run `radenhance serve [CHECKPOINT] --spool DIR --allow AET[@HOST],...`.

    Raises:
        UsageError: A flag is not as it must be, or pynetdicom is not installed.
    """
    options = _parser().parse_args(arguments[1:])
    keep_heap_small()
    require_extra("serve", "radenhance serve")
    title, tls = title_of(options.aet), _tls(options.tls_cert, options.tls_key, options.tls_ca)
    forward = Node.parse(options.forward) if options.forward else None
    callers = [Caller.parse(each) for each in options.allow.split(",")]
    if options.forward_tls and (tls is None or forward is None):
        raise UsageError("--forward-tls needs --forward, --tls-cert and --tls-key")
    names = [options.checkpoint] if options.checkpoint else []
    checkpoints = [named_checkpoint(name) for name in names]
    settings = Settings(
        enhancer_of(checkpoints, options),
        Output("dicom", options.bits, options.deidentify),
    )
    counts = _served(options, settings, _Nodes(title, callers, forward, tls))
    say(", ".join(f"{number} {outcome}" for outcome, number in counts.items()) or "nothing came")
    if options.deidentify:
        say(BURNED_IN)


@dataclass(frozen=True)
class _Nodes:
    title: str
    callers: Sequence[Caller]
    forward: Node | None
    tls: Tls | None


def _served(options: argparse.Namespace, settings: Settings, nodes: _Nodes) -> Counter[str]:
    """Serve until somebody asks to stop."""
    from radenhance.inference.serve import Forwarder, Receiver, Reception, serve

    title, tls = nodes.title, nodes.tls
    reception = Reception(
        options.bind,
        options.port,
        title,
        nodes.callers,
        max_associations=options.max_associations,
        max_object_bytes=int(options.max_mib * MIB),
        tls=tls.for_server() if tls else None,
    )
    called = tls.for_client() if tls and options.forward_tls else None
    with ExitStack() as running:
        spool = Spool(options.spool, max_bytes=int(options.max_gib * GIB))
        running.callback(spool.close)
        batch = _batch(spool, settings)
        stop = running.enter_context(Stop())
        receiver = Receiver(reception, spool)
        running.enter_context(receiver.running())
        if nodes.forward is not None:
            forwarder = Forwarder(nodes.forward, title, spool, tls=called)
            running.enter_context(forwarder.running())
        if tls is None and not _is_loopback(options.bind):
            say_error("nothing is encrypted: who is on this network can read what is sent")
        place = f"{options.bind} port {receiver.port}"
        say(f"{title} listens at {place}; stop it with Ctrl-C or SIGTERM")
        return serve(batch, spool, stop)


def _tls(cert: Path | None, key: Path | None, ca: Path | None) -> Tls | None:
    if cert is None and key is None and ca is None:
        return None
    if cert is None or key is None:
        raise UsageError("TLS needs --tls-cert and --tls-key both, and --tls-ca to know the others")
    return Tls(cert, key, ca)


def _batch(spool: Spool, settings: Settings) -> Batch:
    try:
        return Batch(spool.enhanced, settings, resume=True, quiet=True)
    except UsageError:  # its settings were others: another network, or a version before
        spool.begin_list_anew()
        return Batch(spool.enhanced, settings, resume=True, quiet=True)


def _is_loopback(address: str) -> bool:
    return address == "localhost" or address.startswith("127.") or address == "::1"


def _port(word: str) -> int:
    if not (word.isdecimal() and int(word) < 65536):
        raise argparse.ArgumentTypeError(f"got {word}, expected 0 to 65535")
    return int(word)


def _parser() -> Parser:
    parser = Parser(
        prog="radenhance serve",
        description="Receive radiographs by C-STORE, enhance them, and send the derived series on. "
        "What arrives is on the disk before its sender is told so, and stays there until the next "
        "node has stored what was made of it. For research: see docs/how-to/serve.md before you "
        "connect it to a network.",
        epilog="example: radenhance serve best --spool spool --allow CR1@10.0.0.7 "
        "--bind 10.0.0.5 --forward PACS@10.0.0.9:104",
    )
    add = parser.add_argument
    add(
        "checkpoint",
        nargs="?",
        metavar="CHECKPOINT",
        help="FILE.ckpt, or last or best of the newest run (without one the reference enhancer)",
    )
    add(
        "--spool",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of what came and what is to be sent; its disk has to survive a power cut",
    )
    add("--bind", default="127.0.0.1", metavar="ADDRESS", help="address to listen at (127.0.0.1)")
    add("--port", type=_port, default=11112, help="port to listen at (11112)")
    add("--aet", default="RADENHANCE", help="our AE title, by which we must be called (RADENHANCE)")
    add(
        "--allow",
        required=True,
        metavar="AET[@HOST],...",
        help="who may send: AE titles, each with the host that it must call from",
    )
    add(
        "--forward",
        metavar="AET@HOST:PORT",
        help="node that derived images are sent to; without one they stay in DIR/enhanced",
    )
    _add_limits(parser)
    _add_tls(parser)
    add_flags_of_enhancer(parser)
    return parser


def _add_limits(parser: Parser) -> None:
    add = parser.add_argument
    add("--max-associations", type=int, default=4, help="senders at a time (4)")
    add("--max-mib", type=float, default=512, help="MiB of the largest object (512)")
    add(
        "--max-gib",
        type=float,
        default=20,
        help="GiB of all that waits in DIR; beyond it objects are refused (20)",
    )


def _add_tls(parser: Parser) -> None:
    add = parser.add_argument
    add(
        "--tls-cert",
        type=Path,
        metavar="PEM",
        help="certificate of this node; callers must use TLS",
    )
    add("--tls-key", type=Path, metavar="PEM", help="private key of that certificate")
    add(
        "--tls-ca",
        type=Path,
        metavar="PEM",
        help="authorities of the others' certificates; callers then must have one",
    )
    add("--forward-tls", action="store_true", help="send on by TLS, too, with the same files")
