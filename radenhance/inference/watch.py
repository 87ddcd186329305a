"""What goes on for days: a folder that is watched, and the ways in which somebody ends it.

An export writes its files piece by piece. So a file is taken when its size and its time stay as
they are from one look to the next, and one that failed is taken again when they have changed.
"""

import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Self

from radenhance.console import leave_terminal, say
from radenhance.inference.batch import Batch
from radenhance.prepare.source import FoundFile

STEP = 0.2
"""Seconds after which a request to stop is noticed. No event is waited for, as a handler of signals
cannot set one that the same thread is just taking."""

_State = tuple[int, int]


class Stop:
    """Notes that somebody asked to stop, until the work at hand is done.

    Ctrl-C, SIGTERM and a closed terminal ask; a second Ctrl-C interrupts at once. Within `with`
    alone, and in the main thread alone.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        for asking in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if asking is signal.SIGHUP and signal.getsignal(asking) == signal.SIG_IGN:
                continue  # started by nohup
            self._before[asking] = signal.signal(asking, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for asking, handler in self._before.items():
            signal.signal(asking, handler)  # type: ignore[arg-type]

    def wait(self, seconds: float) -> None:
        """Return after some seconds, or earlier when somebody asks to stop."""
        end = time.monotonic() + seconds
        while not self.asked and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, STEP))

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            leave_terminal()
        elif number == signal.SIGINT and self.asked:
            raise KeyboardInterrupt
        elif number == signal.SIGINT:
            say("\nStopping after this image; press Ctrl-C again to stop at once.")
        self.asked = True


class Watch:
    """Enhances the files that are there, and then those that come.

    What it remembers is of files that are still there, besides the records of the batch.

    Args:
        batch: What enhances them; its records say what became of each.
        look: What finds all files.
        stop: What notes that somebody asks to stop.
    """

    def __init__(self, batch: Batch, look: Callable[[], Sequence[FoundFile]], stop: Stop) -> None:
        self.batch, self.look, self.stop = batch, look, stop
        self.states: dict[Path, _State] = {}
        self.taken: dict[Path, _State] = {}
        self.keys: dict[Path, str] = {}

    def run(self, seconds: float) -> None:
        """Go on until somebody asks to stop, with so many seconds between two looks."""
        files = self.look()
        self.states = _states(files)
        self._take(files)
        while not self.stop.asked:
            self.stop.wait(seconds)
            files = self.look()
            before, self.states = self.states, _states(files)
            self._forget_what_is_gone()
            still = [file for file in files if before.get(file.path, 0) == self._state_of(file)]
            self._take([f for f in still if self.taken.get(f.path) != self._state_of(f)])

    def _state_of(self, file: FoundFile) -> _State | None:
        return self.states.get(file.path)

    def _forget_what_is_gone(self) -> None:
        self.taken = {path: self.taken[path] for path in self.states if path in self.taken}
        self.keys = {path: self.keys[path] for path in self.states if path in self.keys}

    def _take(self, files: Sequence[FoundFile]) -> None:
        if not files or self.stop.asked:
            return
        self.taken |= {
            file.path: self.states[file.path] for file in files if file.path in self.states
        }
        records = self.batch.run(files, stop=lambda: self.stop.asked)
        for file, record in zip(files, records, strict=False):  # fewer if somebody asked to stop
            former = self.keys.get(file.path, record.key)
            if former != record.key:  # half a file had another key than all of it
                self.batch.records.pop(former, None)
            self.keys[file.path] = record.key


def _states(files: Sequence[FoundFile]) -> dict[Path, _State]:
    states = {}
    for file in files:
        try:
            status = file.path.stat()
        except OSError:  # moved away since
            continue
        states[file.path] = status.st_size, status.st_mtime_ns
    return states
