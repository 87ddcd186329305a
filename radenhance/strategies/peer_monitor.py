"""Why another process ended, found out in time and reported in one sentence.

A process that waits for another one does not learn why that one fails: gloo reports that a
connection was closed, NCCL waits for its watchdog. Here a thread for each other process listens on
a separate process group:

    the other process sends a sentence   it stopped, and the sentence says why
    the connection breaks                it died
    it sends no sign of life             it is stopped, or the network is cut

A thread sends signs of life whatever the process is busy with, such as a checkpoint that takes
long. The connections of the run are then cut, so that the operation that waits raises an exception,
which is replaced by the sentence. Where it raises none, as under NCCL, the process exits after a
grace period, so that none is left behind.
"""

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import torch
import torch.distributed as dist
from torch.distributed import ProcessGroup

from radenhance.console import say_error
from radenhance.errors import StageError
from radenhance.foreign_text import one_line

NUM_BYTES = 1024
"""Length of a sentence; longer ones are truncated."""

GRACE_S = 20.0
"""Seconds that a process may go on after another one has ended."""

CUT_S = 5.0
"""Seconds after which waits for a process that has ended are ended, which end with it as a rule."""

HEAR_S = 5.0
"""Seconds that another process's sentence may take where the connection broke."""

SIGN_OF_LIFE = "*"

SIGNS = 4
"""Signs of life within the time after which a process without any is given up."""

BUSY_S = 3600.0
"""Seconds that a process may be busy, with signs of life, while others wait for it."""


class PeerMonitor:
    """Watches the other processes of a run.

    Args:
        group: All processes, over gloo, without a time-out, used for nothing else.
        names: Names of the processes by their rank in the group, such as: the decoder (rank 0).
        timeout_s: Seconds without a sign of life after which a process is given up.
        moment: Function that returns what is under way, such as: training batch 3 of epoch 0.
        cut: Function that breaks the connections to the others.
        operation_s: Seconds after which a watched operation times out, the same by default.
    """

    def __init__(
        self,
        group: ProcessGroup,
        names: Sequence[str],
        *,
        timeout_s: float,
        moment: Callable[[], str],
        cut: Callable[[], None] = lambda: None,
        operation_s: float | None = None,
    ) -> None:
        self._group = group
        self._cut = cut
        self._here = names[dist.get_rank(group)]
        self._others = {rank: name for rank, name in enumerate(names) if name != self._here}
        self._timeout_s = timeout_s
        self._operation_s = timeout_s if operation_s is None else operation_s
        self._moment = moment
        self._lock = threading.Lock()
        self._heard = threading.Event()
        self._reason = ""
        self._is_ending = False
        self._exit_timer: threading.Timer | None = None
        self._heard_at = dict.fromkeys(self._others, time.monotonic())
        self._done = threading.Event()
        self._sending = {rank: threading.Lock() for rank in self._others}
        self._listeners = [self._started(self._listen, rank) for rank in self._others]
        for rank in self._others:
            self._started(self._send_signs, rank)
        self._started(self._watch_signs)

    def report(self, error: BaseException) -> None:
        """Tell the other processes why this one stops, which then needs no end by a timer."""
        with self._lock:
            has_told, self._is_ending = self._is_ending, True
            self._done.set()
            if self._exit_timer is not None:
                self._exit_timer.cancel()
        if has_told or isinstance(error, StageError):  # another process told it, or none listens
            return
        lines = [line for line in str(error).splitlines() if line.strip()]
        what = lines[0] if lines else type(error).__name__
        self._send(f"{self._here} stopped at {self._moment()}: {what}")

    def end_with(self, error: BaseException) -> None:
        """Tell the other processes why this one stops, and raise what explains the error.

        Raises:
            StageError: The connection or the device's memory failed, in a callback's own collective
                perhaps.
        """
        self.report(error)
        explained = self.explain(error)
        if explained is not None:
            raise explained from error

    def end(self) -> None:
        """Tell the other processes that this one is done, and wait until they are."""
        self._done.set()
        self._send("")
        for listener in self._listeners:
            listener.join(self._timeout_s)

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Replace an operation's error by the sentence that explains it.

        Raises:
            StageError: Another process failed, or this one ran out of memory.
        """
        try:
            yield
        except RuntimeError as error:
            explained = self.explain(error)
            if explained is None:
                raise
            raise explained from error

    def explain(self, error: BaseException) -> StageError | None:
        """Return the explanation of an error of the connection or the device's memory, or None."""
        if isinstance(error, torch.OutOfMemoryError):
            return StageError(
                f"{self._here} ran out of memory at {self._moment()}; use "
                f'MemoryTechniques(checkpointing="unit"), Trainer(precision="bf16-mixed") or '
                f'smaller images, and resume with Trainer.fit(ckpt_path="last")'
            )
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            return None
        # which the kernel, too, says of a connection
        timed_out = "imed out" in str(error) and os.strerror(errno.ETIMEDOUT) not in str(error)
        others = " or ".join(self._others.values())
        if not self._heard.wait(0 if timed_out else HEAR_S):
            what = (
                f"nothing came from {others} for {self._operation_s:g} s at {self._moment()}: "
                f"it hangs"
                if timed_out
                else f"the connection to {others} broke at {self._moment()}: it died"
            )
            self._reason = f"{what}, or the network between them is cut"
        if self._exit_timer is not None:
            self._exit_timer.cancel()
        return StageError(
            f"{self._reason}; the last checkpoint is intact, resume all processes with "
            f'Trainer.fit(ckpt_path="last")'
        )

    def _started(self, run: Callable[..., None], *arguments: int) -> threading.Thread:
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        thread.start()
        return thread

    def _listen(self, rank: int) -> None:
        sentence = torch.zeros(NUM_BYTES, dtype=torch.uint8)
        reason = SIGN_OF_LIFE
        while reason == SIGN_OF_LIFE:
            try:
                dist.recv(sentence, group=self._group, group_src=rank)
                text = bytes(sentence.tolist()).rstrip(b"\0").decode(errors="replace")
                reason = one_line(text, NUM_BYTES)
            except RuntimeError:
                reason = f"{self._others[rank]} died without a word at {self._moment()}"
            self._heard_at[rank] = time.monotonic()
        del self._heard_at[rank]
        if reason:
            self._learn(reason)
            if not self._done.wait(CUT_S):  # by itself, as it ends, or has failed alike
                self._cut()

    def _learn(self, reason: str) -> None:
        """Let the process end for a reason, which is that of all that follows from it."""
        with self._lock:
            if self._reason:
                return
            self._reason = reason
            if not self._is_ending:
                self._exit_timer = threading.Timer(GRACE_S, self._exit)
                self._exit_timer.daemon = True
                self._exit_timer.start()
        self._heard.set()

    def _send_signs(self, rank: int) -> None:
        while not self._done.wait(self._timeout_s / SIGNS) and rank in self._heard_at:
            self._send_to(rank, SIGN_OF_LIFE)

    def _watch_signs(self) -> None:
        while not self._done.wait(self._timeout_s / SIGNS):
            for rank, heard_at in list(self._heard_at.items()):
                if time.monotonic() - heard_at > self._timeout_s:
                    self._learn(
                        f"nothing came from {self._others[rank]} for {self._timeout_s:g} s at "
                        f"{self._moment()}: it hangs, or the network between them is cut"
                    )
                    self._cut()
                    return

    def _exit(self) -> None:
        say_error(f"{self._reason}; {self._here} exits")
        os._exit(StageError.exit_code)

    def _send(self, text: str) -> None:
        for rank in self._others:
            self._send_to(rank, text)

    def _send_to(self, rank: int, text: str) -> None:
        content = text.encode()[:NUM_BYTES].ljust(NUM_BYTES, b"\0")
        sending = self._sending[rank]
        if not sending.acquire(timeout=self._timeout_s):  # it takes nothing any more
            return
        try:
            with suppress(RuntimeError):  # that process has ended
                dist.send(
                    torch.tensor(list(content), dtype=torch.uint8),
                    group=self._group,
                    group_dst=rank,
                )
        finally:
            sending.release()
