"""What holds for a whole dataset folder: `dataset.yaml`.

It declares what files leave open (which polarity, how many bits), and records where images and
targets came from. A folder without it is read by what the files declare.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import yaml

from radenhance.dicom.declaration import Rule
from radenhance.errors import DatasetError, UsageError
from radenhance.files import replace_file

DESCRIPTION = "dataset.yaml"

_KEYS = ("name", "licence", "raw", "target", "species", "targets")
_HEAD = """\
# raw, target: what files of that folder do not declare themselves; see docs/reference/reading.md.
#   bone: bright or dark; bits: 1 to 16; relationship: LIN or LOG; override: true goes above DICOM
# species, targets: numbers of pairs, and who made the targets; written by `radenhance prepare`.
"""


@dataclass(frozen=True)
class Rules:
    """What the user declares about the files of a dataset.

    Args:
        raw: About the files in `raw/`.
        target: About the files in `target/`.
    """

    raw: Rule = field(default_factory=Rule)
    target: Rule = field(default_factory=Rule)


def load_rules(root: Path) -> Rules:
    """Return the rules that `dataset.yaml` of the folder `root` declares, none where it is absent.

    Raises:
        DatasetError: The file is not YAML, or has a key or a value that it cannot have.
    """
    path = root / DESCRIPTION
    entries = _load(path)
    return Rules(_rule(path, "raw", entries), _rule(path, "target", entries))


def write_description(
    root: Path, *, species: Mapping[str, int], targets: Mapping[str, int]
) -> None:
    """Write `dataset.yaml` into the folder `root`; name, licence and rules there are stay.

    Args:
        root: The dataset folder.
        species: Number of pairs by species.
        targets: Number of pairs by what made the target.

    Raises:
        DatasetError: The file that is there cannot be understood.
    """
    path = root / DESCRIPTION
    rules = load_rules(root)
    before = _load(path)
    entries = {
        "name": before.get("name", root.resolve().name),
        "licence": before.get("licence", ""),
        "raw": before.get("raw") or asdict(rules.raw),
        "target": before.get("target") or asdict(rules.target),
        "species": dict(sorted(species.items())),
        "targets": dict(sorted(targets.items())),
    }
    if entries != before:
        text = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True)
        replace_file(path, (_HEAD + text).encode())


def _load(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(f"{path} is not YAML: {reason}") from error
    return _checked_keys(path, "the file", entries, _KEYS)


def _rule(path: Path, half: str, entries: Mapping[str, object]) -> Rule:
    known = tuple(entry.name for entry in fields(Rule))
    values = _checked_keys(path, half, entries.get(half), known)
    # True is 1 in Python, and would pass for a number of bits.
    if isinstance(values.get("bits"), bool) or not isinstance(values.get("override", False), bool):
        raise DatasetError(f"{path}, {half}: bits must be 1 to 16, and override true or false")
    try:
        return Rule(**values)  # type: ignore[arg-type]
    except (UsageError, TypeError) as error:
        raise DatasetError(f"{path}, {half}: {error}") from error


def _checked_keys(
    path: Path, where: str, entries: object, known: tuple[str, ...]
) -> dict[str, object]:
    if entries is None:
        return {}
    if not isinstance(entries, dict):
        raise DatasetError(f"{path}: {where} is {entries!r}, expected keys {', '.join(known)}")
    unknown = [str(key) for key in entries if key not in known]
    if unknown:
        raise DatasetError(
            f"{path}: {where} has the unknown key {', '.join(unknown)}; it may have "
            f"{', '.join(known)}"
        )
    return entries
