"""Imports point down the list of rooms, never up, and never in a circle; light rooms stay light."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import radenhance

PACKAGE = Path(radenhance.__file__).parent

ROOMS = (
    "compat",
    "errors",
    "extras",
    "metric_names",
    "arrays",
    "units",
    "repetition",
    "foreign_text",
    "console",
    "files",
    "folders",
    "torch_file",
    "package_file",
    "text_files",
    "contact_sheet",
    "web_page",
    "dicom",
    "dataset",
    "reference_enhancer",
    "phantoms",
    "prepare",
    "datamodule",
    "rows",
    "network",
    "loss",
    "memory",
    "strategies",
    "checkpoint",
    "starting",
    "resuming",
    "learning_rate",
    "resumed_flags",
    "fused_optimizer",
    "enhancer",
    "runs",
    "log_points",
    "callbacks",
    "flags",
    "planning",
    "inference",
    "command_line",
    "reproduce",
    "folds",
    "cli",
    "completion",
    "__main__",
)
"""A room imports from itself and from those before it: lazily, or for types alone, too."""

COMMANDS_OF_THEIR_OWN = {"prepare"}
"""Rooms below `flags` that hold whole commands, arguments included."""

FLAG = re.compile(r"(?<![\w-])--[a-z]{2}")


def files_of(room):
    path = PACKAGE / room
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def imported(path):
    """Yield the modules of ours that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.startswith("radenhance."))


def test_every_module_is_in_a_room():
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert rooms - {"__init__", "__pycache__", "configs", "py"} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_down(room):
    allowed = {*ROOMS[: ROOMS.index(room) + 1], "__version__"}
    for file in files_of(room):
        for name in imported(file):
            other = name.split(".")[1]
            assert other in allowed, f"{file.relative_to(PACKAGE)} imports {name}"


@pytest.mark.parametrize("room", sorted({*ROOMS[: ROOMS.index("flags")]} - COMMANDS_OF_THEIR_OWN))
def test_rooms_below_flags_name_parameters_as_python_does(room):
    for file in files_of(room):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                where = f"{file.relative_to(PACKAGE)}:{node.lineno}"
                assert not FLAG.search(node.value), f"{where} names a flag: {node.value!r}"


def test_no_module_imports_itself_through_others():
    modules = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path
        for path in PACKAGE.rglob("*.py")
        if path.name != "__init__.py"
    }
    arrows = {}
    for module, path in modules.items():
        found = set()
        for name in imported(path):
            parent = name.rpartition(".")[0]
            found |= {name, parent} & modules.keys()
        arrows[module] = found
    done = set()

    def visit(module, way):
        assert module not in way, " -> ".join([*way[way.index(module) :], module])
        if module not in done:
            for other in sorted(arrows[module]):
                visit(other, [*way, module])
            done.add(module)

    for module in arrows:
        visit(module, [])


@pytest.mark.parametrize(
    "module",
    [
        "cli",
        "dicom.read",
        "dicom.write",
        "reference_enhancer.enhance",
        "phantoms.radiograph",
        "dataset.manifest",
        "dataset.normalize",
        "prepare.synthesize",
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
