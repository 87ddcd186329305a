"""Random numbers that a step draws: the same in both processes, as on one device.

Only the decoder's process reads images, and only the encoder's runs the encoder: where either draws
random numbers, the other would go on with other ones, and mix images of one half of a batch with
the targets of another. So each batch comes with the state of the generators, and the network has a
stream of its own in each process.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from radenhance.strategies.tensor_meta import not_understood

SEED_STEP = 7919
"""Between the seeds of the streams of two stages."""


def random_state(device: torch.device) -> dict[str, Any]:
    """Return the state of the generators of PyTorch, NumPy and Python, as it can be sent.

    Args:
        device: The device of the stage, whose generator is among them.
    """
    version, numbers, gauss = random.getstate()
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch": _of_torch(device),
        "numpy": [kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest],
        "python": [version, torch.tensor(numbers), gauss],
    }


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Go on from a state of `random_state`, of this process or of another one.

    Args:
        state: The state.
        device: The device of the stage.

    Raises:
        RadenhanceError: It is no such state.
    """
    try:
        _set_torch(state["torch"], device)
        kind, keys, *rest = state["numpy"]
        np.random.set_state((kind, keys.cpu().numpy().astype(np.uint32), *rest))
        version, numbers, gauss = state["python"]
        random.setstate((version, tuple(numbers.tolist()), gauss))
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise not_understood("it is no state of random numbers") from error


class OwnStream:
    """Random numbers of the network's part that runs here, such as dropout.

    Args:
        device: The device of the stage.
        stage: Number of the stage.
    """

    def __init__(self, device: torch.device, stage: int) -> None:
        self._device = device
        self._seed = SEED_STEP * (1 + stage)
        self._state: list[Tensor] | None = None

    @contextmanager
    def drawn(self) -> Iterator[None]:
        """Let PyTorch draw from this stream in the block, and go on with its own one after it."""
        before = _of_torch(self._device)
        if self._state is None:
            torch.manual_seed(torch.initial_seed() + self._seed)
        else:
            _set_torch(self._state, self._device)
        try:
            yield
        finally:
            self._state = _of_torch(self._device)
            _set_torch(before, self._device)


def _of_torch(device: torch.device) -> list[Tensor]:
    of_gpu = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *of_gpu]


def _set_torch(states: list[Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0].cpu())
    for state in states[1:]:
        torch.cuda.set_rng_state(state.cpu(), device)
