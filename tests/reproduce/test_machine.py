"""What a measurement runs on is told without telling whose it is."""

import getpass
import platform

import torch

from radenhance.reproduce.machine import (
    accelerator,
    described,
    machine,
    memory_bytes,
)


def test_versions_and_hardware_make_a_line():
    noted = {
        "radenhance": "0.1", "torch": "2.5", "lightning": "2.4", "python": "3.11.7",
        "processor": "2 cores, x86_64", "gpus": [],
    }  # fmt: skip
    assert described(noted) == (
        "radenhance 0.1, torch 2.5, lightning 2.4, Python 3.11.7; 2 cores, x86_64, no GPU"
    )
    assert described({**noted, "gpus": ["RTX 3070", "RTX 3070"]}).endswith("RTX 3070, RTX 3070")


def test_it_names_neither_the_machine_nor_its_user():
    text = described(machine())
    assert platform.node() not in text
    assert getpass.getuser() not in text.split()
    assert torch.__version__ in text


def test_memory_is_a_machines():
    assert 2**28 < memory_bytes() < 2**45


def test_the_accelerator_is_one_of_lightnings():
    assert accelerator() == ("gpu" if torch.cuda.is_available() else "cpu")
