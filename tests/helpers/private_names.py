"""Find private names of other libraries in a package's source.

A name is private if it starts with one underscore, and somebody else's if nothing in the file
defines it. Subclasses need the classes themselves: `self._x`, and a method `_x`, are a library's
where one of its classes in the MRO has that name, whether it is overridden on purpose or by chance.
"""

import ast
import importlib
import inspect
import sys
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path

INTERNALS = (
    "momentumnet.momentum_net",
    "momentumnet.exact_rep_pytorch",
    "lightning.pytorch.trainer.call",
)
"""Modules that no documentation names, though their names have no underscore."""

DOCUMENTED = ("_asdict", "_exit", "_fields", "_make", "_replace")
"""Of named tuples and os: public, for all their underscore."""

OURS = "_radenhance"
"""Attributes that start so are hung on foreign objects by this package."""

OF_OBJECTS = ("getattr", "setattr", "hasattr", "delattr")


def private_names(path: Path, module: str | None = None) -> list[str]:
    """Return "line: name" for each private name of another library in a file.

    Args:
        path: Python file.
        module: Its name, to look at the bases of its classes; without it only its text is.
    """
    tree = ast.parse(path.read_text())
    foreign = _of_bases(module) if module else {}
    found = {*_imported(tree), *_attributes(tree), *_inherited(tree, foreign)}
    return [f"{line}: {name}" for line, name in sorted(found)]


def is_private(name: str) -> bool:
    """Return whether a name starts with an underscore and is neither dunder nor documented."""
    dunder = name.startswith("__") and name.endswith("__")
    return name.startswith("_") and name.strip("_") != "" and not dunder and name not in DOCUMENTED


def _imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module or ''}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            internal = any(f"{name}.".startswith(f"{module}.") for module in INTERNALS)
            if internal or any(is_private(part) for part in name.split(".")):
                yield node.lineno, name


def _attributes(tree: ast.AST) -> Iterator[tuple[int, str]]:
    own = _defined(tree)
    for node in ast.walk(tree):
        name = _attribute_name(node)
        if name is None or not is_private(name) or name.startswith(OURS):
            continue
        of_self = isinstance(node, ast.Attribute) and _is_self(node.value)
        if name not in own and not of_self:
            yield node.lineno, name


def _attribute_name(node: ast.AST) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    literal: ast.AST | None = None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) > 1:
        literal = node.args[1] if node.func.id in OF_OBJECTS else None
    elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Call):
        of_vars = isinstance(node.value.func, ast.Name) and node.value.func.id == "vars"
        literal = node.slice if of_vars else None
    if isinstance(literal, ast.Constant) and isinstance(literal.value, str):
        return literal.value
    return None


def _is_self(node: ast.AST) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id == "super"
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def _is_set_on_self(node: ast.Attribute) -> bool:
    return isinstance(node.ctx, ast.Store) and _is_self(node.value)


def _defined(tree: ast.AST) -> set[str]:
    """Return the names that a file defines, at any level, and those it sets on self."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and _is_set_on_self(node):
            names.add(node.attr)
    return names


def _inherited(tree: ast.AST, foreign: dict[str, set[str]]) -> Iterator[tuple[int, str]]:
    for body in [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]:
        names = foreign.get(body.name, set())
        for node in ast.walk(body):
            if isinstance(node, ast.Attribute) and _is_self(node.value):
                name = node.attr
            elif isinstance(node, ast.FunctionDef):
                name = node.name
            else:
                continue
            if is_private(name) and name in names:
                yield node.lineno, f"{body.name}.{name}"


def _of_bases(module: str) -> dict[str, set[str]]:
    """Return the private names that each class of a module has from other libraries."""
    package = module.split(".")[0]
    classes = vars(importlib.import_module(module)).values()
    return {
        kind.__name__: {
            name
            for base in kind.__mro__
            if base.__module__.split(".")[0] not in (package, "builtins")
            for name in _names_of(base)
        }
        for kind in classes
        if isinstance(kind, type) and kind.__module__ == module
    }


@cache
def _names_of(kind: type) -> frozenset[str]:
    names = {*vars(kind), *vars(kind).get("__annotations__", {})}
    if kind.__module__ in sys.modules and not kind.__module__.startswith("torch._C"):
        try:
            source = inspect.getsource(kind)
        except (OSError, TypeError):  # made in C, or at run time
            return frozenset(names)
        names |= _defined(ast.parse(textwrap.dedent(source)))
    return frozenset(names)
