"""What a class declares of its parameters, read from its source file.

Importing PyTorch and Lightning takes seconds, which is long for who only wants to look up a flag.
Signatures and docstrings say the same in the source as in the class that the parser imports.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import docstring_parser


@dataclass(frozen=True)
class Parameter:
    """A parameter of a class.

    Args:
        name: Its name.
        default: Its default value as YAML has it, None where it is not a plain value.
        choices: The words that it may be, if it is one of a few.
        text: What its docstring says.
    """

    name: str
    default: str | None
    choices: tuple[str, ...]
    text: str


def parameters_of(class_path: str) -> list[Parameter]:
    """Return the parameters that a class declares, in its order.

    Args:
        class_path: Module and class, such as radenhance.enhancer.ContrastEnhancer. Nothing is
            imported.
    """
    module, _, name = class_path.rpartition(".")
    tree = _tree(module)
    (found,) = [node for node in ast.walk(tree) if _is_class(node, name)]
    assert isinstance(found, ast.ClassDef)
    functions = [node for node in found.body if isinstance(node, ast.FunctionDef)]
    init = next((function for function in functions if function.name == "__init__"), None)
    texts = _texts(found) | (_texts(init) if init else {})
    declared = _of_function(init) if init else _of_fields(found)
    return [
        Parameter(key, _yaml(default), _choices(module, annotation), texts.get(key, ""))
        for key, annotation, default in declared
    ]


def _of_function(
    function: ast.FunctionDef,
) -> Iterator[tuple[str, ast.expr | None, ast.expr | None]]:
    arguments = function.args
    positional = arguments.args[1:]  # without self
    missing = [None] * (len(positional) - len(arguments.defaults))
    for argument, default in zip(positional, [*missing, *arguments.defaults], strict=True):
        yield argument.arg, argument.annotation, default
    for argument, keyword in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield argument.arg, argument.annotation, keyword


def _of_fields(found: ast.ClassDef) -> Iterator[tuple[str, ast.expr | None, ast.expr | None]]:
    for node in found.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node.annotation, node.value


def _texts(node: ast.ClassDef | ast.FunctionDef) -> dict[str, str]:
    parsed = docstring_parser.parse(ast.get_docstring(node) or "")
    return {one.arg_name: " ".join((one.description or "").split()) for one in parsed.params}


def _yaml(default: ast.expr | None) -> str | None:
    if isinstance(default, ast.Call) and len(default.args) == 1:  # Path("folder")
        default = default.args[0]
    if default is None:
        return None
    try:
        return in_yaml(ast.literal_eval(default))
    except ValueError:
        return None


def in_yaml(value: object) -> str:
    """Return a plain value as YAML has it."""
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def _choices(module: str, annotation: ast.expr | None) -> tuple[str, ...]:
    if isinstance(annotation, ast.Name):
        if annotation.id == "bool":
            return "true", "false"
        annotation = _defined(module, annotation.id)
    if not isinstance(annotation, ast.Subscript) or ast.unparse(annotation.value) != "Literal":
        return ()
    values = ast.literal_eval(annotation.slice)
    return tuple(map(str, values if isinstance(values, tuple) else (values,)))


def _defined(module: str, name: str) -> ast.expr | None:
    """Return what one of our own types is defined as."""
    for node in _tree(module).body:
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("radenhance."):
            if name in [alias.name for alias in node.names]:
                return _defined(str(node.module), name)
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return node.value
    return None


@lru_cache
def _tree(module: str) -> ast.Module:
    package, *parts = module.split(".")
    spec = find_spec(package)  # finds a package without importing it
    assert spec is not None
    assert spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0], *parts)
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def _is_class(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.ClassDef) and node.name == name
