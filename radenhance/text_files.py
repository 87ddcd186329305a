"""Text that others wrote, read whole within bounds, or refused in a sentence.

Recipes and datasets come from strangers too. A few lines of YAML can stand for gigabytes (aliases
of aliases), a thousand brackets exhaust the stack, a number of a million digits takes minutes, and
a pipe in the place of a file never ends. Every YAML file of this program is read here.
"""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from radenhance.errors import RadenhanceError
from radenhance.foreign_text import one_line

MAX_YAML_BYTES = 2**20
MAX_DEPTH = 32
MAX_NODES = 100_000
"""Keys, values and lists of a YAML text, those that aliases stand for included."""
MAX_SCALAR = 2**16
"""Characters of one key or value."""
MAX_DIGITS = 100
"""Characters of an integer."""

_FastLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # absent without libyaml


class _Loader(_FastLoader):  # type: ignore[misc]
    """PyYAML's safe loader, which would keep the last of equal keys, and make any integer."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise ConstructorError(
                        None, None, f"{key.value} is there twice", key.start_mark
                    )
                seen.add(key.value)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping

    def construct_integer(self, node: yaml.ScalarNode) -> int:
        if len(node.value) > MAX_DIGITS:
            raise ConstructorError(None, None, "the number has too many digits", node.start_mark)
        integer: int = super().construct_yaml_int(node)
        return integer


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_integer)


def read_text(path: Path, *, max_bytes: int, error: type[RadenhanceError] = RadenhanceError) -> str:
    """Return the text of a file, UTF-8 with or without a byte order mark.

    Args:
        path: The file.
        max_bytes: Bytes that it may have.
        error: Class of the error that says what is wrong with it.

    Raises:
        RadenhanceError: It is no file, too large, or in another encoding; of the class `error`.
    """
    if not path.is_file():
        raise error(f"{path} is not there, or is not a file")
    with path.open("rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise error(f"{path} is larger than {max_bytes / 2**20:g} MiB, the most that is read")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        raise error(f"{path} is not UTF-8 text; save it as UTF-8 (CSV UTF-8 in Excel)") from cause
    if "\0" in text:
        raise error(f"{path} is not text, it has zero bytes; save it as UTF-8")
    return text


def read_yaml(path: Path, *, error: type[RadenhanceError] = RadenhanceError) -> Any:
    """Return what a YAML file holds: plain values, lists and dictionaries.

    Args:
        path: The file.
        error: Class of the error that says what is wrong with it.

    Raises:
        RadenhanceError: It cannot be read, or is not YAML within bounds; of the class `error`.
    """
    text = read_text(path, max_bytes=MAX_YAML_BYTES, error=error)
    try:
        return load_yaml(text)
    except yaml.YAMLError as cause:
        reason = one_line(" ".join(str(cause).split()))
        raise error(f"{path} is not YAML that can be read: {reason}") from cause


def load_yaml(text: str) -> Any:
    """Return what a YAML text holds: plain values, lists and dictionaries.

    Raises:
        yaml.YAMLError: It is not YAML, has a key twice, or stands for more than is reasonable.
    """
    if len(text) > MAX_YAML_BYTES:
        raise yaml.YAMLError(f"it has more than {MAX_YAML_BYTES} characters")
    try:
        _refuse_unbounded(text)
        return yaml.load(text, Loader=_Loader)
    except ValueError as error:  # a number or a date that is none
        raise yaml.YAMLError(str(error)) from error


def _refuse_unbounded(text: str) -> None:
    """Raise yaml.YAMLError before a text is loaded that stands for much more than it is."""
    nodes = 0
    sizes: dict[str | None, int] = {}
    opened: list[tuple[str | None, int]] = []
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise yaml.YAMLError(f"the alias *{event.anchor} stands for itself or for nothing")
            nodes += sizes[event.anchor]
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            sizes[anchor] = nodes - before
        elif isinstance(event, yaml.NodeEvent):
            _refuse_node(event)
            if isinstance(event, yaml.CollectionStartEvent):
                opened.append((event.anchor, nodes))
                sizes.pop(event.anchor, None)  # no alias of it until it ends
            else:
                sizes[event.anchor] = 1
            nodes += 1
        if nodes > MAX_NODES:
            raise yaml.YAMLError(f"it has, or its aliases stand for, more than {MAX_NODES} values")
        if len(opened) > MAX_DEPTH:
            raise yaml.YAMLError(f"it is nested more than {MAX_DEPTH} levels deep")


def _refuse_node(event: Any) -> None:
    if event.tag:
        raise yaml.YAMLError(f"it has the tag {event.tag}, expected plain values")
    if isinstance(event, yaml.ScalarEvent) and len(event.value) > MAX_SCALAR:
        raise yaml.YAMLError(f"a value has more than {MAX_SCALAR} characters")
