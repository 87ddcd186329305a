"""The recipes that come with the package, where `--config` finds them, and what a recipe may be.

A recipe is looked at before jsonargparse sees it, which would follow the files that it names.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from radenhance.errors import UsageError
from radenhance.flags.help import SECTIONS
from radenhance.text_files import read_yaml, shortened


def recipes() -> dict[str, Path]:
    """Return the built-in recipes by file name."""
    package = Path(__file__).parents[1]
    installed = package / "configs"
    folder = installed if installed.is_dir() else package.parent / "configs"
    return {path.name: path for path in folder.glob("*.yaml")}


def find_recipes(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with `--config NAME.yaml` pointed at a shipped recipe.

    A file of that name in the working directory goes first.

    Raises:
        UsageError: Neither is there.
    """
    found = list(arguments)
    for i, argument in enumerate(found):
        if argument in ("--config", "-c") and i + 1 < len(found):
            found[i + 1] = _recipe(found[i + 1])
        elif argument.startswith("--config="):
            found[i] = f"--config={_recipe(argument.removeprefix('--config='))}"
    return found


def _recipe(name: str) -> str:
    shipped = recipes()
    path = Path(name) if Path(name).is_file() else shipped.get(name)
    if path is None:
        raise UsageError(
            f"--config {name}: no such file, nor a built-in recipe ({', '.join(sorted(shipped))})"
        )
    _check(path, read_yaml(path, error=UsageError))
    return str(path)


def _check(path: Path, recipe: Any) -> None:
    """Refuse what is no set of flags, and what would have other files read as recipes."""
    if not isinstance(recipe, dict | None) or not all(isinstance(key, str) for key in recipe or ()):
        raise UsageError(f"{path} is no recipe, expected names of flags and their values")
    for name in ("config", *(section.prefix for section in SECTIONS)):
        within: Any = recipe
        for part in name.split("."):
            within = within.get(part) if isinstance(within, dict) else None
        if not isinstance(within, dict | None):
            raise UsageError(
                f"{path}: {name} is {shortened(repr(within))}, expected flags and their values; a "
                "recipe names no other file of flags, and --config can be repeated"
            )
