"""What jsonargparse says of a wrong value, cut to what a user can act on.

Where a flag takes a class it lists every type that the value could have been, with the reason for
each; the first class that it names is the one that was asked for.
"""

import re

_OF_A_CLASS = re.compile(
    r"Parser key \"([\w.]+)\":.*?(?:given class_path '([\w.]+)'|a callable class): "
    r"(.*?)(?: - |\. Got value: Namespace|$)"
)
_UNKNOWN = re.compile(r"Parser key \"([\w.]+)\":.*? Expected a dot import path string: (\S+)")


def shortened(message: str) -> str:
    """Return a message of the parser, or what it comes to where it is about a class.

    Args:
        message: In one line.
    """
    if found := _UNKNOWN.match(message):
        return f"--{found[1]} {found[2]} is no class that is known here"
    if found := _OF_A_CLASS.match(message):
        key, kind, why = found.groups()
        name = (kind or "").rpartition(".")[2] or "CLASS"
        return f"--{key}: {why}; --{key}.help {name} shows what it takes"
    return message
