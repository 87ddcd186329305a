"""A secret that processes prove to each other before they exchange anything else.

Each process puts a nonce, fresh random bytes, into the store where they meet, reads those of all
others, and then puts there an HMAC of its rank and of all nonces under the secret. The secret
itself is never sent. An HMAC of an earlier run has other nonces, and one of another process has
another rank: neither can be repeated.

This keeps a stranger, or a process of another run, from taking a place in the run. It does not
encrypt, and does not authenticate what is sent afterwards: torch.distributed can do neither.
"""

import hmac
import os
import secrets
from contextlib import suppress
from datetime import timedelta

from torch.distributed import Store

from radenhance.errors import UsageError
from radenhance.foreign_text import one_line

SECRET = "RADENHANCE_SECRET"  # pragma: allowlist secret
"""Environment variable with the secret of a run, the same on all machines."""

RUN_SECRET = "RADENHANCE_RUN_SECRET"  # pragma: allowlist secret
"""Environment variable with a random secret, which a run on one machine gives its processes."""

MIN_LENGTH = 16
"""Characters: who reads the network could try all shorter ones."""

NONCE_BYTES = 32

NONE = "none"
"""The proof of a process that has no secret."""

FAREWELL = timedelta(seconds=10)
"""How long a process whose run is refused waits for the others to find out."""


def make_run_secret() -> None:
    """Make a random secret that processes started by this one inherit."""
    os.environ[RUN_SECRET] = secrets.token_hex(NONCE_BYTES)


def secret_of_run(*, one_machine: bool) -> str | None:
    """Return the secret of this run, None if there is none.

    Args:
        one_machine: Whether all processes are on this machine.

    Raises:
        UsageError: It is too short.
    """
    secret = os.environ.get(SECRET) or None
    if secret is not None and len(secret) < MIN_LENGTH:
        raise UsageError(
            f"{SECRET} has {len(secret)} characters, expected at least {MIN_LENGTH}; "
            f"`openssl rand -hex 32` makes a good one"
        )
    return secret or (os.environ.get(RUN_SECRET) if one_machine else None)


def prove(store: Store, rank: int, num: int, secret: str | None) -> None:
    """Prove to all processes that this one knows the secret; every process calls it.

    Args:
        store: Where the processes meet.
        rank: Rank of this process.
        num: Number of processes.
        secret: The secret, or None.

    Raises:
        UsageError: On every process; some processes have different secrets, or none.
        RuntimeError: Another process did not come.
    """
    own = secrets.token_hex(NONCE_BYTES)
    nonces = _exchanged(store, "nonce", rank, num, own)
    proofs = _exchanged(store, "proof", rank, num, _proof(secret, rank, nonces))
    for other, proof in enumerate(proofs):
        expected = _proof(secret, other, nonces).encode()
        if not hmac.compare_digest(proof, expected):
            _wait_until_all_know(store, rank, num)
            raise UsageError(_difference(rank, secret is None, other, proof == NONE.encode()))
    store.set(_key("done", rank), "")


def check_equal(store: Store, rank: int, num: int, backend: str, gpu: str = "") -> None:
    """Refuse processes that would connect in different ways, or not at all; every process calls it.

    Args:
        store: Where the processes meet.
        rank: Rank of this process.
        num: Number of processes.
        backend: Name of the backend of this process.
        gpu: What tells the GPU that this process needs for itself from all others, if it needs one.

    Raises:
        UsageError: On every process; some have another backend, or one GPU.
        RuntimeError: Another process did not come.
    """
    backends = _exchanged(store, "backend", rank, num, backend)
    for other, theirs in enumerate(backends):
        if theirs != backend.encode():
            _wait_until_all_know(store, rank, num, "refused")
            raise UsageError(
                f"rank {rank} has process_group_backend {backend}, rank {other} has "
                f"{one_line(theirs.decode(errors='replace'), 20)}; give all processes the same, "
                f"and GPUs, or none"
            )
    gpus = _exchanged(store, "gpu", rank, num, gpu)
    for other, theirs in enumerate(gpus):
        first = gpus.index(theirs)
        if theirs and first != other:
            _wait_until_all_know(store, rank, num, "refused")
            raise UsageError(
                f"rank {first} and rank {other} have the same GPU, and {backend} connects no two "
                f"processes of one; give each process a GPU of its own (CUDA_VISIBLE_DEVICES, or "
                f"Trainer(devices=2))"
            )


def _proof(secret: str | None, rank: int, nonces: list[bytes]) -> str:
    if secret is None:
        return NONE
    message = f"radenhance: rank {rank}, nonces {nonces}".encode()
    return hmac.new(secret.encode(errors="surrogateescape"), message, "sha256").hexdigest()


def _exchanged(store: Store, name: str, rank: int, num: int, content: str) -> list[bytes]:
    store.set(_key(name, rank), content)
    others = [range(rank), range(rank + 1, num)]
    before, after = ([store.get(_key(name, other)) for other in ranks] for ranks in others)
    return [*before, content.encode(), *after]


def _wait_until_all_know(store: Store, rank: int, num: int, name: str = "done") -> None:
    """Wait, as the process that serves the store would take it from those that still read."""
    with suppress(RuntimeError):  # a stranger does not say that it has read
        store.set(_key(name, rank), "")
        store.wait([_key(name, other) for other in range(num)], FAREWELL)


def _key(name: str, rank: int) -> str:
    return f"radenhance/{name}/{rank}"


def _difference(rank: int, has_none: bool, other: int, other_has_none: bool) -> str:
    what = f"rank {other} has another {SECRET} than rank {rank}"
    if has_none or other_has_none:
        without, having = (rank, other) if has_none else (other, rank)
        what = f"rank {without} has no {SECRET}, and rank {having} has one"
    return f"{what}; set the same on all machines, and let nobody else reach the port"
