"""The recipes that come with the package, where `--config` finds them, and what a recipe may be.

A recipe is looked at before jsonargparse sees it, which would follow the files that it names.
"""

from collections.abc import Sequence
from pathlib import Path

from radenhance.errors import UsageError
from radenhance.flags.help import SECTIONS
from radenhance.foreign_text import one_line
from radenhance.text_files import read_yaml

MEMORY = "--model.memory"


def recipes() -> dict[str, Path]:
    """Return the built-in recipes by file name."""
    package = Path(__file__).parents[1]
    installed = package / "configs"
    folder = installed if installed.is_dir() else package.parent / "configs"
    return {path.name: path for path in folder.glob("*.yaml")}


def find_recipes(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with `--config NAME.yaml` pointed at a shipped recipe.

    A file of that name in the working directory goes first. The file of `--model.memory FILE` gets
    its whole path: of a name with a dot the parser would think that it is a class.

    Raises:
        UsageError: Neither is there.
    """
    found = list(arguments)
    for i, argument in enumerate(found):
        if argument in ("--config", "-c") and i + 1 < len(found):
            found[i + 1] = _recipe(found[i + 1])
        elif argument.startswith("--config="):
            found[i] = f"--config={_recipe(argument.removeprefix('--config='))}"
        elif argument == MEMORY and i + 1 < len(found) and Path(found[i + 1]).is_file():
            found[i + 1] = str(Path(found[i + 1]).resolve())
    return found


def _recipe(name: str) -> str:
    shipped = recipes()
    path = Path(name) if Path(name).is_file() else shipped.get(name)
    if path is None:
        raise UsageError(
            f"--config {name}: no such file, nor a built-in recipe ({', '.join(sorted(shipped))})"
        )
    return str(path)


def check_recipe(path: Path) -> None:
    """Refuse what is no set of flags, or would have other files read as flags.

    Args:
        path: The file of a recipe.

    Raises:
        UsageError: It is not there, not YAML within bounds, no set of flags, or names a file of
            flags.
    """
    recipe = read_yaml(path, error=UsageError)
    if not isinstance(recipe, dict | None) or not all(isinstance(key, str) for key in recipe or ()):
        raise UsageError(f"{path} is no recipe, expected names of flags and their values")
    for name in ("config", *(section.prefix for section in SECTIONS)):
        within = recipe
        for part in name.split("."):
            within = within.get(part) if isinstance(within, dict) else None
        if not isinstance(within, dict | None):
            raise UsageError(
                f"{path}: {name} is {one_line(repr(within))}, expected flags and their values; a "
                "recipe names no other file of flags, and --config can be repeated"
            )
