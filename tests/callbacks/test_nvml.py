"""NVML through its C interface: a library of our own answers what the test says."""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pynvml
import pytest
import torch

from radenhance.callbacks.nvml import NvmlMemory, open_nvml

UUID = "8c6f1a52-0000-4000-8000-00000000abcd"
NOT_AVAILABLE = 2**64 - 1
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    path = tmp_path_factory.mktemp("nvml") / "libnvidia-ml.so.1"
    source = Path(__file__).with_name("fake_nvml.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", path, source], check=True)
    return ctypes.CDLL(str(path))


class Fake:
    """The library's answers, to be set."""

    def __init__(self, library):
        object.__setattr__(self, "library", library)
        self.init_result = self.memory_result = self.list_result = 0
        self.device_used, self.process_used, self.process_id = 3000, 2000, os.getpid()
        self.know(f"GPU-{UUID}")

    def __setattr__(self, name, value):
        kind = ctypes.c_ulonglong if name.endswith("used") else ctypes.c_uint
        kind.in_dll(self.library, name).value = value

    def know(self, uuid):
        (ctypes.c_char * 96).in_dll(self.library, "known_uuid").value = uuid.encode()


@pytest.fixture
def nvml(compiled, monkeypatch):
    monkeypatch.setattr(pynvml, "nvmlLib", compiled)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    return Fake(compiled)


@pytest.fixture
def device(monkeypatch):
    properties = SimpleNamespace(uuid=UUID)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    return torch.device("cuda", 0)


@needs_compiler
def test_device_and_process_are_told_apart(nvml, device):
    assert open_nvml(device)() == {"nvml_device": 3000, "nvml_process": 2000}


@needs_compiler
def test_a_slice_of_a_gpu_is_found_by_its_own_name(nvml, device, monkeypatch):
    nvml.know("MIG-1b2c")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-1b2c")
    assert open_nvml(device)()["nvml_device"] == 3000
    nvml.know(f"MIG-{UUID}")
    assert open_nvml(device)()["nvml_device"] == 3000


def test_a_missing_library_is_one_warning(device, monkeypatch, caplog):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "CDLL", missing)
    assert open_nvml(device) is None
    assert len(caplog.records) == 1
    assert "Not Found" in caplog.text


@needs_compiler
@pytest.mark.parametrize(
    "code",
    [
        pynvml.NVML_ERROR_NO_PERMISSION,
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
    ],
)
def test_a_driver_that_refuses_is_one_warning(nvml, device, caplog, code):
    nvml.init_result = code
    assert open_nvml(device) is None
    assert len(caplog.records) == 1


@needs_compiler
def test_an_unknown_gpu_is_one_warning(nvml, device, caplog):
    nvml.know("GPU-another")
    assert open_nvml(device) is None
    assert len(caplog.records) == 1


@needs_compiler
@pytest.mark.parametrize(
    "code",
    [
        pynvml.NVML_ERROR_GPU_IS_LOST,
        pynvml.NVML_ERROR_RESET_REQUIRED,
        pynvml.NVML_ERROR_UNINITIALIZED,
    ],
)
def test_a_gpu_that_is_lost_in_the_middle_is_one_warning_and_no_figures(nvml, caplog, code):
    memory = NvmlMemory([f"GPU-{UUID}"])
    assert memory()
    nvml.memory_result = code
    assert memory() == memory() == {}
    assert len(caplog.records) == 1


@needs_compiler
@pytest.mark.parametrize("code", [pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_NO_PERMISSION])
def test_without_a_list_of_processes_the_device_is_measured(nvml, caplog, code):
    nvml.list_result = code
    memory = NvmlMemory([f"GPU-{UUID}"])
    assert memory() == memory() == {"nvml_device": 3000}
    assert len(caplog.records) == 1


@needs_compiler
@pytest.mark.parametrize(("field", "value"), [("process_id", 1), ("process_used", NOT_AVAILABLE)])
def test_a_process_that_the_list_hides_is_left_out(nvml, caplog, field, value):
    setattr(nvml, field, value)
    memory = NvmlMemory([f"GPU-{UUID}"])
    assert memory() == memory() == {"nvml_device": 3000}
    assert len(caplog.records) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_real_gpu_shows_what_pytorch_takes():
    memory = open_nvml(torch.device("cuda", 0))
    torch.zeros(1, device="cuda")
    before = memory()["nvml_device"]
    block = torch.zeros(256 * 2**20, dtype=torch.uint8, device="cuda")
    assert memory()["nvml_device"] - before >= block.numel()
