"""What a measurement runs on.

A figure without its machine and its versions cannot be compared with another. Nothing here names
the machine or its user: reports are made to be passed on.
"""

import os
import platform
from collections.abc import Mapping
from typing import Any

import lightning
import torch

from radenhance import __version__


def accelerator() -> str:
    """Return gpu or cpu, for `--trainer.accelerator`."""
    return "gpu" if torch.cuda.is_available() else "cpu"


def num_devices() -> int:
    """Return how many GPUs there are."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def memory_bytes() -> int:
    """Return the memory of the smallest GPU, or of the machine where there is none."""
    if accelerator() == "gpu":
        cards = range(num_devices())
        return min(torch.cuda.get_device_properties(card).total_memory for card in cards)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def machine() -> dict[str, Any]:
    """Return versions and hardware."""
    gpus = [torch.cuda.get_device_name(card) for card in range(num_devices())]
    return {
        "radenhance": __version__,
        "torch": torch.__version__,
        "lightning": lightning.__version__,
        "python": platform.python_version(),
        "processor": f"{os.cpu_count()} cores, {platform.machine()}",
        "gpus": gpus,
    }


def described(noted: Mapping[str, Any]) -> str:
    """Return what `machine` noted as a line for people."""
    return (
        f"radenhance {noted['radenhance']}, torch {noted['torch']}, lightning "
        f"{noted['lightning']}, Python {noted['python']}; {noted['processor']}, "
        f"{', '.join(noted['gpus']) or 'no GPU'}"
    )
