"""Find where a package's source reads or sends pickles, which run code where they are read."""

import ast
from collections.abc import Iterator
from pathlib import Path

MODULES = ("cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve")

HARMLESS = ("PicklingError", "UnpicklingError")
"""What may be imported of them."""

COLLECTIVES = (
    "all_gather_object",
    "broadcast_object_list",
    "gather_object",
    "recv_object_list",
    "scatter_object_list",
    "send_object_list",
)
"""Functions of torch.distributed that send pickles."""


def pickles(path: Path) -> list[str]:
    """Return "line: what" for each use of pickles in a file."""
    tree = ast.parse(path.read_text())
    found = {(node.lineno, what) for node in ast.walk(tree) for what in _of(node)}  # type: ignore[attr-defined]
    return [f"{line}: {what}" for line, what in sorted(found)]


def _of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.split(".")[0] in MODULES)
    elif isinstance(node, ast.ImportFrom):
        names = [alias.name for alias in node.names]
        if (node.module or "").split(".")[0] in MODULES and not set(names) <= set(HARMLESS):
            yield node.module or ""
        yield from (name for name in names if name in COLLECTIVES)
    elif isinstance(node, ast.Attribute) and node.attr in COLLECTIVES:
        yield node.attr
    elif isinstance(node, ast.Call):
        yield from _of_call(node)


def _of_call(node: ast.Call) -> Iterator[str]:
    options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    if options.get("allow_pickle", "False") != "False":
        yield "allow_pickle"
    if ast.unparse(node.func) == "torch.load" and options.get("weights_only") != "True":
        yield "torch.load"
