"""The recipes that come with the package, and where `--config` finds them."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from radenhance.errors import UsageError


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
    try:
        yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"--config {name} is not YAML: {reason}") from error
    return str(path)
