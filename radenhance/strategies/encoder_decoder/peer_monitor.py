"""What becomes of the other processes, known in time and said in one sentence.

A process that waits for another learns nothing of why it fails: gloo says that a connection was
closed, NCCL waits for its watchdog. Here a thread for each other process listens on a process group
of its own:

    the other sends a sentence   it stopped, and says why
    the connection breaks        it died
    neither                      it hangs or the network is cut: the operation under way times out

What the process is doing then ends with an exception of that operation, which becomes the sentence.
Where it does not end, as under NCCL, the process leaves after a grace period: no orphan stays.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import torch
import torch.distributed as dist
from torch.distributed import ProcessGroup

from radenhance.errors import StageError

NUM_BYTES = 1024
"""Of a sentence; longer ones are cut."""

GRACE_S = 20.0
"""How long a process may go on after the other has ended."""


class PeerMonitor:
    """Between the processes of a run.

    Args:
        group: All of them, gloo, without a time-out, used for nothing else.
        names: Of each by its rank in the group, such as: the decoder (rank 0).
        timeout_s: Of the operations that it watches, in seconds.
        moment: Says what is under way, such as: training batch 3 of epoch 0.
    """

    def __init__(
        self,
        group: ProcessGroup,
        names: Sequence[str],
        *,
        timeout_s: float,
        moment: Callable[[], str],
    ) -> None:
        self._group = group
        self._here = names[dist.get_rank(group)]
        self._others = {rank: name for rank, name in enumerate(names) if name != self._here}
        self._timeout_s = timeout_s
        self._moment = moment
        self._lock = threading.Lock()
        self._heard = threading.Event()
        self._reason = ""
        self._leaving: threading.Timer | None = None
        self._listeners = [
            threading.Thread(target=self._listen, args=(rank,), daemon=True)
            for rank in self._others
        ]
        for listener in self._listeners:
            listener.start()

    def ring(self, error: BaseException) -> None:
        """Tell the other processes why this one stops."""
        if isinstance(error, StageError):  # then another one has said it, or none listens
            return
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        self._send(f"{self._here} stopped at {self._moment()}: {what}")

    def end(self) -> None:
        """Tell the other processes that all is done, and wait until they have said so too."""
        self._send("")
        for listener in self._listeners:
            listener.join(self._timeout_s)

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Make of an operation's failure the sentence that explains it.

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
        """Return what an error means where it is of the connection or the device's memory."""
        if isinstance(error, torch.OutOfMemoryError):
            return StageError(
                f"{self._here} ran out of memory at {self._moment()}; use "
                f"--model.memory.checkpointing unit, --trainer.precision bf16-mixed or smaller "
                f"images, then go on with --ckpt_path last"
            )
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            return None
        timed_out = "imed out" in str(error)
        others = " or ".join(self._others.values())
        if not self._heard.wait(0 if timed_out else 5):
            self._reason = (
                f"nothing came from {others} for {self._timeout_s:g} s at {self._moment()}: "
                f"it hangs, or the network between them is cut"
            )
        if self._leaving is not None:
            self._leaving.cancel()
        return StageError(
            f"{self._reason}; the last checkpoint is good, go on with --ckpt_path last on both"
        )

    def _listen(self, rank: int) -> None:
        sentence = torch.zeros(NUM_BYTES, dtype=torch.uint8)
        try:
            dist.recv(sentence, group=self._group, group_src=rank)
            reason = bytes(sentence.tolist()).rstrip(b"\0").decode(errors="replace")
        except RuntimeError:
            reason = f"{self._others[rank]} died without a word at {self._moment()}"
        with self._lock:
            if reason and not self._reason:  # the first one is why the others end
                self._reason = reason
                self._leaving = threading.Timer(GRACE_S, self._leave)
                self._leaving.daemon = True
                self._leaving.start()
                self._heard.set()

    def _leave(self) -> None:
        sys.stderr.write(f"radenhance: {self._reason}; {self._here} leaves\n")
        sys.stderr.flush()
        os._exit(StageError.exit_code)

    def _send(self, text: str) -> None:
        content = text.encode()[:NUM_BYTES].ljust(NUM_BYTES, b"\0")
        for rank in self._others:
            with suppress(RuntimeError):  # it is not there any more to be told
                dist.send(
                    torch.tensor(list(content), dtype=torch.uint8),
                    group=self._group,
                    group_dst=rank,
                )
