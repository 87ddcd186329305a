"""What the driver says of a GPU's memory, through NVML.

NVML may be missing, denied, or go away in the middle of a run (a GPU that falls off the bus, a
reset driver). Each of that is said once, in the log, and never stops a training.
"""

import os
from collections.abc import Iterator
from logging import getLogger

import pynvml
import torch

from radenhance import metric_names
from radenhance.callbacks.gauges import Levels

log = getLogger(__name__)


def open_nvml(device: torch.device) -> "NvmlMemory | None":
    """Return the memory of a CUDA device, or None with a warning where NVML is not to be had."""
    properties = torch.cuda.get_device_properties(device)
    try:
        return NvmlMemory(list(_names(str(properties.uuid), device.index or 0)))
    except pynvml.NVMLError as error:
        log.warning("NVML does not answer (%s): memory is measured by PyTorch's own books", error)
        return None


class NvmlMemory:
    """Bytes that a GPU has in use in all, and those of this process.

    Args:
        names: UUIDs to try in turn. A UUID and not an index: NVML counts all GPUs of the machine,
            CUDA those of CUDA_VISIBLE_DEVICES, and by default in another order.

    Raises:
        pynvml.NVMLError: NVML is missing or denied, or knows none of the names.
    """

    def __init__(self, names: list[str]) -> None:
        pynvml.nvmlInit()
        self._gpu = _find(names)
        self._sees_device = self._sees_process = True

    def __call__(self) -> Levels:
        """Return the sources that NVML still answers for."""
        levels: dict[str, int] = {}
        if self._sees_device:
            levels |= self._of_device()
        if self._sees_device and self._sees_process:
            levels |= self._of_process()
        return levels

    def _of_device(self) -> dict[str, int]:
        try:
            return {metric_names.NVML_DEVICE: int(pynvml.nvmlDeviceGetMemoryInfo(self._gpu).used)}
        except pynvml.NVMLError as error:
            self._sees_device = False
            log.warning("NVML stopped answering (%s): the run goes on without its figures", error)
            return {}

    def _of_process(self) -> dict[str, int]:
        try:
            processes = pynvml.nvmlDeviceGetComputeRunningProcesses(self._gpu)
        except pynvml.NVMLError as error:
            return self._without_process(str(error))
        ours = [process.usedGpuMemory for process in processes if process.pid == os.getpid()]
        if not ours or None in ours:
            return self._without_process("this process is not in its list, as in a container")
        return {metric_names.NVML_PROCESS: sum(ours)}

    def _without_process(self, reason: str) -> dict[str, int]:
        self._sees_process = False
        log.warning("NVML does not tell processes apart (%s): the device's use is logged", reason)
        return {}


def _names(uuid: str, index: int) -> Iterator[str]:
    """Yield what NVML may know a device by: a slice of a GPU (MIG) has a name of its own."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    if index < len(visible) and visible[index].strip().startswith("MIG-"):
        yield visible[index].strip()
    yield f"MIG-{uuid}"
    yield f"GPU-{uuid}"


def _find(names: list[str]) -> object:
    for name in names[:-1]:
        try:
            return pynvml.nvmlDeviceGetHandleByUUID(name)
        except (pynvml.NVMLError_NotFound, pynvml.NVMLError_InvalidArgument):
            continue
    return pynvml.nvmlDeviceGetHandleByUUID(names[-1])
