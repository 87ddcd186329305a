"""Imports point down the flow, never up; and the light rooms stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import radenhance

PACKAGE = Path(radenhance.__file__).parent

MAY_IMPORT = {
    "errors": set(),
    "keys": set(),
    "runs": {"errors"},
    "dicom": {"errors"},
    "dataset": {"dicom", "errors"},
    "network": {"errors"},
    "loss": {"errors"},
    "memory": {"network", "loss", "errors"},
    "strategies": {"network", "memory", "errors"},
    "enhancer": {"network", "loss", "memory", "keys", "errors"},
    "callbacks": {"dicom", "dataset", "keys", "errors"},
}
"""Room -> rooms it may import from, besides itself. Those not listed are the command line: all."""


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith("radenhance."))


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_point_down(room):
    path = PACKAGE / room
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    assert files
    for file in files:
        for other in imported(file):
            allowed = MAY_IMPORT[room] | {room, "__version__"}
            assert other in allowed, f"{file.relative_to(PACKAGE)} imports {other}"


@pytest.mark.parametrize(
    "module",
    [
        "cli",
        "dicom.read",
        "dicom.write",
        "dataset.reference",
        "dataset.synthetic",
        "dataset.manifest",
        "dataset.normalize",
        "dataset.synthesize",
    ],
)
def test_light_modules_do_without_torch_and_lightning(module):
    code = (
        f"import sys, radenhance.{module}; "
        "print(sorted({'torch', 'lightning'} & sys.modules.keys()))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True
    )
    assert result.stdout.strip() == "[]", result.stderr
