"""How long the machine at hand takes: measured in about a minute, kept, and put into plans.

Every recipe's step is run a few times, and planned. That a step's time is a sum of operations,
bytes and calls at so many seconds each is not true of any device, and near enough to order
recipes: the costs, none below 0, are those with the least squared relative error (non-negative
least squares). They are kept for each kind of device in the user's cache folder.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls

from radenhance.errors import UsageError
from radenhance.folders import user_cache
from radenhance.planning.planned_run import PlannedRun
from radenhance.planning.search import Shown, techniques_of_recipes
from radenhance.planning.traffic import Speed, Work

FLAGS = ("--model.encoder=resnet18", "--model.num_scales=auto")
SIDES = {"cpu": (256,), "cuda": (256, 1024)}
"""Of the images, in pixels, by the kind of device: large enough for convolutions to count, small
enough for a minute. At 256 px a GPU waits for calls alone."""

REPEATS = 3
"""Steps of each recipe that are timed, after one that is not."""


def device_here() -> str:
    """Return the kind of device whose time a plan on this machine is to tell."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"this processor, {torch.get_num_threads()} threads"


def calibrated() -> Speed | None:
    """Return the speed of the device here, None if it was not measured."""
    try:
        kept = json.loads(_file().read_text())[device_here()]
        return Speed(**{name: float(cost) for name, cost in kept.items()}, device=device_here())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def calibrate(shown: Shown = iter) -> Speed:
    """Measure the device here, keep its speed, and return that.

    Args:
        shown: Function that passes the recipes on as they are measured, and shows that.

    Raises:
        UsageError: The speed cannot be kept.
    """
    run = PlannedRun(FLAGS)
    works, times = [], []
    sides = SIDES["cuda" if torch.cuda.is_available() else "cpu"]
    for flags, side in shown(list(product(techniques_of_recipes().values(), sides))):
        one = run.with_flags(flags)
        works.append(one.plan((side, side)).work)
        times.append(_step_seconds(one, side))
    speed = fitted(works, times, device_here())
    _keep(speed)
    return speed


def fitted(works: Sequence[Work], times: Sequence[float], device: str) -> Speed:
    """Return the costs with which works take about those times.

    Args:
        works: What steps do.
        times: Their seconds.
        device: What was measured.
    """
    counts = np.array([astuple(work) for work in works], dtype=float)
    scale = np.maximum(counts.max(axis=0), 1)
    costs, _ = nnls(counts / scale / np.array(times)[:, None], np.ones(len(times)))
    operation, half_operation, moved_byte, operator, host_byte = (costs / scale).tolist()
    return Speed(operation, half_operation, moved_byte, operator, host_byte, device)


def _step_seconds(run: PlannedRun, side: int) -> float:
    """Return the median seconds of a step, of the processor where there is no GPU.

    What else a machine does matters little so; threads are taken to be busy all the time.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    step = run.step(device)
    batch: dict[str, Any] = {
        name: value.to(device) if isinstance(value, torch.Tensor) else value
        for name, value in run.batch((side, side)).items()
    }
    step(batch)
    return float(np.median([_timed(lambda: step(batch)) for _ in range(REPEATS)]))


def _timed(function: Callable[[], None]) -> float:
    if not torch.cuda.is_available():
        began = time.process_time()
        function()
        return (time.process_time() - began) / torch.get_num_threads()
    torch.cuda.synchronize()
    began = time.perf_counter()
    function()
    torch.cuda.synchronize()
    return time.perf_counter() - began


def _file() -> Path:
    return user_cache() / "speed.json"


def _keep(speed: Speed) -> None:
    file, costs = _file(), asdict(speed)
    try:
        kept = json.loads(file.read_text())
    except (OSError, ValueError):
        kept = {}
    device = costs.pop("device")
    others = kept if isinstance(kept, dict) else {}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({**others, device: costs}, indent=1) + "\n")
    except OSError as error:
        raise UsageError(
            f"the speed of this device cannot be kept in {file.parent}: {error.strerror}; set "
            f"XDG_CACHE_HOME to a folder that can be written to"
        ) from error
