"""Private names of other libraries stay in compat; the scanner that says so finds planted ones."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
from private_names import private_names

import radenhance

PACKAGE = Path(radenhance.__file__).parent

MODULES = sorted(
    str(path.relative_to(PACKAGE))
    for path in PACKAGE.rglob("*.py")
    if path.relative_to(PACKAGE).parts[0] != "compat"
)


@pytest.mark.parametrize("file", MODULES)
def test_no_private_name_of_another_library_is_used_outside_compat(file):
    path = PACKAGE / file
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    module = None if parts[-1] == "__main__" else ".".join(parts)  # importing that one runs it
    assert private_names(path, module) == []


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("from torch._subclasses import FakeTensor", "torch._subclasses.FakeTensor"),
        ("from lightning.fabric.connector import _helper", "lightning.fabric.connector._helper"),
        ("import torch._dynamo", "torch._dynamo"),
        (
            "from momentumnet.exact_rep_pytorch import BitStore",
            "momentumnet.exact_rep_pytorch.BitStore",
        ),
        ("def f(tensor):\n    return tensor._version", "_version"),
        ("def f(trainer):\n    trainer.fit_loop._skip = True", "_skip"),
        ("def f(metric):\n    return getattr(metric, '_defaults', None)", "_defaults"),
        ("def f(module):\n    vars(module)['_buffers'] = {}", "_buffers"),
    ],
)
def test_a_planted_name_is_found(tmp_path, source, name):
    file = tmp_path / "planted.py"
    file.write_text(source)
    assert [found.partition(": ")[2] for found in private_names(file)] == [name]


@pytest.mark.parametrize(
    "source",
    [
        "class Own:\n    def start(self):\n        self._x = 1\n\ndef f(own):\n    return own._x",
        "from __future__ import annotations\nimport os\nos._exit(1)",
        "for _ in range(3):\n    pass",
        "def _helper():\n    pass\n\n_helper.__name__",
    ],
)
def test_own_and_documented_names_are_not(tmp_path, source):
    file = tmp_path / "own.py"
    file.write_text(source)
    assert private_names(file) == []


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("def _apply(self, fn):\n        return self", "Planted._apply"),
        ("def parameters_here(self):\n        return self._parameters", "Planted._parameters"),
        ("def set(self):\n        self._buffers = {}", "Planted._buffers"),
    ],
)
def test_a_private_name_of_a_base_class_is_found(tmp_path, monkeypatch, body, name):
    source = f"from torch import nn\n\nclass Planted(nn.Module):\n    {body}\n"
    file = tmp_path / "planted.py"
    file.write_text(source)
    module = ModuleType("planted_for_a_test")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(source, file, "exec"), vars(module))
    assert [found.partition(": ")[2] for found in private_names(file, module.__name__)] == [name]
