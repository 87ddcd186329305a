"""Gauges of memory: the level now, and the highest level since they were last read.

The allocator's own books miss nothing. What the driver or the system say is sampled every few
milliseconds by a thread, and seen where it lasts at least that long. But they see what an allocator
keeps for later use as used, so that a phase is what it takes only after `release_cache`.
"""

import ctypes
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from typing_extensions import override

from radenhance import metric_names

MAX_LOAD = 0.005
"""Share of the time that a sampling thread may take."""

Levels = dict[str, int]
"""Source, one of those that radenhance.metric_names names -> bytes."""


@dataclass(frozen=True)
class Reading:
    """What a gauge says of one source.

    Args:
        level: Bytes in use now.
        highest: The most that was in use since the last reading.
    """

    level: int
    highest: int


Readings = dict[str, Reading]


class AllocatorGauge:
    """PyTorch's CUDA allocator: bytes in live tensors, and bytes reserved from the GPU.

    It resets the allocator's peaks, so that nothing else can use `max_memory_allocated` meanwhile.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        torch.cuda.reset_peak_memory_stats(device)

    def read(self) -> Readings:
        """Return allocated and reserved bytes."""
        # the nested form: max_memory_allocated() takes several times as long to sort all entries
        stats: Any = torch.cuda.memory_stats_as_nested_dict(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        allocated, reserved = stats["allocated_bytes"]["all"], stats["reserved_bytes"]["all"]
        return {
            metric_names.ALLOCATED: Reading(allocated["current"], allocated["peak"]),
            metric_names.RESERVED: Reading(reserved["current"], reserved["peak"]),
        }


class SampledGauge:
    """Calls a function every few milliseconds in a thread, and keeps the highest that it returns.

    The thread reads less often where that would take more than MAX_LOAD of the time, be it by the
    clock, in the function, or on a processor, with waking up. A source that the function stops
    returning is no longer in the readings.

    Args:
        levels: Returns the sources' levels. It is called from two threads, never at once.
        period_s: Seconds from one sample to the next.
    """

    def __init__(self, levels: Callable[[], Levels], *, period_s: float) -> None:
        self._levels = levels
        self._period_s = period_s
        self._highest: dict[str, int] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory gauge", daemon=True)
        self._thread.start()

    def read(self) -> Readings:
        """Return what the function says now, and the highest of the samples up to now."""
        with self._lock:
            now = self._levels()
            since, self._highest = self._highest, dict(now)
        return {
            source: Reading(level, max(level, since.get(source, 0)))
            for source, level in now.items()
        }

    def highest_sampled(self) -> Levels:
        """Return the highest samples since the last call of this or of `read`, and start anew.

        It calls nothing, so that it costs nothing, and may hold no source at all.
        """
        with self._lock:
            since, self._highest = self._highest, {}
        return since

    def stop(self) -> None:
        """Stop the thread."""
        self._stopped.set()
        self._thread.join()

    def _sample(self) -> None:
        wait_s, worked = self._period_s, time.thread_time()
        while not self._stopped.wait(wait_s):
            started = time.perf_counter()
            with self._lock:
                for source, level in self._levels().items():
                    self._highest[source] = max(level, self._highest.get(source, 0))
            before, worked = worked, time.thread_time()
            cost_s = max(time.perf_counter() - started, worked - before)
            wait_s = max(self._period_s, cost_s / MAX_LOAD)


class ProcessGauge(SampledGauge):
    """Resident memory of this process, without its loaders' workers, where there is no GPU.

    The kernel's high-water mark (VmHWM of Linux, proc(5)) catches what falls between two samples
    when it is the highest of the process's life.
    """

    def __init__(self, *, period_s: float) -> None:
        self._process = psutil.Process()
        self._mark = _high_water_mark()
        super().__init__(self._resident, period_s=period_s)

    @override
    def read(self) -> Readings:
        record = self._new_record()
        return {
            source: Reading(reading.level, max(reading.highest, record))
            for source, reading in super().read().items()
        }

    @override
    def highest_sampled(self) -> Levels:
        record = self._new_record()
        sampled = super().highest_sampled()
        return sampled | {metric_names.PROCESS_RSS: record} if record else sampled

    def _new_record(self) -> int:
        before, self._mark = self._mark, _high_water_mark()
        return self._mark if self._mark > before else 0

    def _resident(self) -> Levels:
        return {metric_names.PROCESS_RSS: self._process.memory_info().rss}


def release_cache(device: torch.device) -> None:
    """Give back what the allocator of a device keeps for later use."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, others do not
        if trim is not None:
            trim(0)


def _high_water_mark() -> int:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return int(lines.get("VmHWM", "0 kB").split()[0]) * 1024
