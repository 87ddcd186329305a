"""The description of a dataset folder: `dataset.yaml`.

It declares what files leave open (which polarity, how many bits), and records where images and
targets came from. In a folder without it, only what the files themselves declare holds.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import cast, get_args

import yaml

from radenhance.dataset.outside_field import OutsideField
from radenhance.dicom.declaration import Declaration
from radenhance.errors import DatasetError, ParameterError
from radenhance.files import replace_file
from radenhance.foreign_text import one_line
from radenhance.text_files import read_yaml

DESCRIPTION = "dataset.yaml"

_KEYS = ("name", "licence", "raw", "target", "outside_field", "species", "targets")
_HEAD = """\
# raw, target: what files of that folder do not declare themselves; see docs/reference/reading.md.
#   bone: bright or dark; bits: 1 to 16; relationship: LIN or LOG; override: true goes above DICOM
# outside_field: black where targets are black outside the exposed field, else keep; written by
#   `radenhance prepare` as it finds it, unless it stands here already
# species, targets: numbers of pairs, and who made the targets; written by `radenhance prepare`.
"""


@dataclass(frozen=True)
class Declarations:
    """What the user declares about the files of a dataset.

    Args:
        raw: The declaration that holds for the files in `raw/`.
        target: The declaration that holds for the files in `target/`.
        outside_field: Whether targets are black outside the exposed field; None if it is not known.
    """

    raw: Declaration = field(default_factory=Declaration)
    target: Declaration = field(default_factory=Declaration)
    outside_field: OutsideField | None = None


def load_declarations(root: Path) -> Declarations:
    """Return what `dataset.yaml` of the folder `root` declares; nothing where it is absent.

    Raises:
        DatasetError: The file is not YAML, or has a key or a value that it cannot have.
    """
    path = root / DESCRIPTION
    entries = _load(path)
    raw, target = (_declaration(path, folder, entries) for folder in ("raw", "target"))
    return Declarations(raw, target, _outside_field(path, entries.get("outside_field")))


def write_description(
    root: Path,
    *,
    species: Mapping[str, int],
    targets: Mapping[str, int],
    outside_field: OutsideField | None = None,
) -> None:
    """Write `dataset.yaml` into the folder `root`; name, licence and declarations are kept.

    Args:
        root: The dataset folder.
        species: Number of pairs by species.
        targets: Number of pairs by what made the target.
        outside_field: What was found in them, which is written unless the file says something
            already; None if nothing was.

    Raises:
        DatasetError: The existing file cannot be understood.
    """
    path = root / DESCRIPTION
    declared = load_declarations(root)
    before = _load(path)
    entries = {
        "name": before.get("name", ""),
        "licence": before.get("licence", ""),
        "raw": before.get("raw") or asdict(declared.raw),
        "target": before.get("target") or asdict(declared.target),
        "outside_field": declared.outside_field or outside_field,
        "species": dict(sorted(species.items())),
        "targets": dict(sorted(targets.items())),
    }
    if entries != before:
        text = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True)
        replace_file(path, (_HEAD + text).encode())


def _load(path: Path) -> dict[str, object]:
    if not path.exists():
        return {}
    return _checked_keys(path, "the file", read_yaml(path, error=DatasetError), _KEYS)


def _declaration(path: Path, folder: str, entries: Mapping[str, object]) -> Declaration:
    known = tuple(entry.name for entry in fields(Declaration))
    values = _checked_keys(path, folder, entries.get(folder), known)
    # True is 1 in Python, and would pass for a number of bits.
    if isinstance(values.get("bits"), bool) or not isinstance(values.get("override", False), bool):
        raise DatasetError(f"{path}, {folder}: bits must be 1 to 16, and override true or false")
    try:
        return Declaration(**values)  # type: ignore[arg-type]
    except ParameterError as error:
        key = error.parameter.rpartition(".")[2]
        raise DatasetError(
            f"{path}, {folder}: {key} is {one_line(repr(error.got))}, expected {error.expected}"
        ) from error


def _outside_field(path: Path, value: object) -> OutsideField | None:
    if value not in (None, *get_args(OutsideField)):
        raise DatasetError(f"{path}: outside_field is {value!r}, expected black or keep")
    return cast("OutsideField | None", value)


def _checked_keys(
    path: Path, where: str, entries: object, known: tuple[str, ...]
) -> dict[str, object]:
    if entries is None:
        return {}
    if not isinstance(entries, dict):
        raise DatasetError(
            f"{path}: {where} is {one_line(repr(entries))}, expected keys {', '.join(known)}"
        )
    for key in entries:
        if key not in known:
            raise DatasetError(
                f"{path}: {where} has the unknown key {one_line(key)}; it may have "
                f"{', '.join(known)}"
            )
    return entries
