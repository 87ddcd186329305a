"""What jsonargparse and argparse have no public name for: a second name of a flag that is there."""

from jsonargparse import ArgumentParser


def add_former_name(parser: ArgumentParser, former: str, name: str) -> None:
    """Let a flag be typed, and written in a config file, by the name that it had before.

    Flags that are made of a class's signature have one name, and argparse takes further names only
    where it makes a flag.

    Args:
        parser: The parser that has the flag `name`.
        former: The name that it had, with its dashes.
        name: The name that it has, with its dashes.
    """
    action = parser._option_string_actions[name]
    action.option_strings = [*action.option_strings, former]
    parser._option_string_actions[former] = action
