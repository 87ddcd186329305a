"""The pairs of a dataset folder, listed or found.

A dataset folder holds `raw/` and `target/` with files of the same stem, and `pairs.csv`, one line
per pair. Without `pairs.csv` the pairs are found by their stems, and the caller splits them.
"""

import csv
import hashlib
import io
import os
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_args

from radenhance.dataset.description import DESCRIPTION
from radenhance.dataset.pair import Pair, Split
from radenhance.dataset.species import species_of
from radenhance.dicom.limits import MAX_SIDE
from radenhance.dicom.radiograph import Header, Radiograph
from radenhance.dicom.read import read_header
from radenhance.errors import DatasetError
from radenhance.files import replace_file
from radenhance.foreign_text import from_csv, in_csv, one_line
from radenhance.text_files import read_text

MANIFEST = "pairs.csv"

RADIOGRAPH_SUFFIXES = (".dcm", ".dicom", ".ima", ".png", ".tif", ".tiff", ".npy")

MAX_BYTES = 64 * 2**20
"""Of `pairs.csv`: the lines of some 150,000 pairs."""

DELIMITERS = ",;\t"
"""Of values in a line; spreadsheets write semicolons where a comma is the decimal sign."""

_LARGEST = sys.float_info.max

_NUMBERS: dict[str, tuple[Callable[[str], int | float], float, float]] = {
    **dict.fromkeys(("rows", "cols"), (int, 1, MAX_SIDE)),
    "bits_stored": (int, 1, 64),
    "sign": (int, -1, 1),
    "lossy": (int, 0, 1),
    **dict.fromkeys(("pixel_spacing_mm", "kvp", "mas"), (float, -_LARGEST, _LARGEST)),
}
"""Column of numbers -> what makes a number of its text, the lowest, and the highest."""

_CATEGORIES: dict[str, Callable[[str], str]] = {
    "split": str.lower,
    "species": str.lower,
    "body_part": str.upper,
    "view": str.upper,
    "pixel_intensity": str.upper,
    "intent": str.upper,
}
"""Column of what is counted by -> how it is written, so that Cat and cat are one species."""

_WHOLE = re.compile(r"\.0*$")
"""What spreadsheets put behind whole numbers."""

_ACCEPT = {
    **dict.fromkeys(("1", "1.0", "1,0", "true", "yes"), 1),
    **dict.fromkeys(("0", "0.0", "0,0", "false", "no"), 0),
}

_HASHES = (
    "patient_id",
    "study_uid",
    "raw_sha256",
    "target_sha256",
    "source_sha256",
    "pixels_sha256",
    "target_algo_hash",
    "recipe",
)
_SPOILED = re.compile(r"\d([.,]\d+)?E\+\d+")
"""What a spreadsheet makes of 12345678e901, or of a hash of digits alone."""

_EXCELS_WORD = re.compile(r"sep=.\r?\n")
"""A first line by which Excel is told how values are separated."""


def read_manifest(root: Path) -> list[Pair]:
    """Return the accepted pairs that `pairs.csv` of the folder `root` lists.

    Raises:
        DatasetError: A column is missing, a value does not fit its column, a file is not there, or
            one patient is in two splits; the message names the line.
    """
    accepted = [pair for pair in listed_pairs(root) if pair.accept]
    check_files(root, accepted)
    check_patients(accepted)
    return accepted


def listed_pairs(root: Path) -> list[Pair]:
    """Return all pairs that `pairs.csv` lists, accepted or not, without a look at their files.

    Raises:
        DatasetError: A column is missing, or a value does not fit its column.
    """
    path = root / MANIFEST
    columns, rows = _read(path)
    required = {"case_id", "raw_path", "target_path", "split"}
    if missing := required - set(columns):
        raise DatasetError(
            f"{path} has no column {', '.join(sorted(missing))}; its first line must name at "
            f"least {', '.join(sorted(required))}"
        )
    return [_pair(row, f"{path}, line {line}") for line, row in rows]


def _read(path: Path) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """Return the columns of a CSV file, and its rows with the numbers of their lines."""
    text = read_text(path, max_bytes=MAX_BYTES, error=DatasetError)
    if told := _EXCELS_WORD.match(text):
        text = text[told.end() :]
    head = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    lines = _lines(reader, path)
    columns = [_column(name) for name in next(lines, (1, []))[1]]
    if twice := [column for column, number in Counter(columns).items() if column and number > 1]:
        raise DatasetError(f"{path} has the column {one_line(twice[0])!r} twice; remove one")
    return columns, ((number, _row(path, number, columns, line)) for number, line in lines)


def _column(name: str) -> str:
    """Return a column's name; one of ours may have been typed in capitals or with blanks."""
    plain = name.strip().lower()
    return plain if plain in {field.name for field in fields(Pair)} else name


def _lines(reader: Any, path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        yield from ((reader.line_num, line) for line in reader if line)
    except csv.Error as error:
        raise DatasetError(f"{path}, line {reader.line_num} is not CSV: {error}") from error


def _row(path: Path, number: int, columns: list[str], line: list[str]) -> dict[str, str]:
    if any(line[len(columns) :]):
        raise DatasetError(
            f"{path}, line {number} has {len(line)} values for {len(columns)} columns; put a value "
            "that has a comma or a semicolon into quotes"
        )
    return dict.fromkeys(columns, "") | dict(zip(columns, line, strict=False))


def write_manifest(root: Path, pairs: Iterable[Pair]) -> None:
    """Write `pairs.csv` into the folder `root`, whole or not at all.

    Columns that a user has added to the existing file stay with their cases.
    """
    names = [field.name for field in fields(Pair)]
    added, values = _added_columns(root / MANIFEST, names)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [*names, *added])
    writer.writeheader()
    for pair in pairs:
        row = asdict(pair) | values.get(pair.case_id, {})
        writer.writerow({name: in_csv(value) for name, value in row.items()})
    replace_file(root / MANIFEST, text.getvalue().encode())


def find_pairs(root: Path) -> list[Pair]:
    """Return the pairs of `root/raw` and `root/target` that share a stem, all in split train.

    Species and patient are taken from the raw file's header.

    Raises:
        DatasetError: A folder is missing or empty, a stem is used twice, or a file has no partner.
    """
    raw, target = (_by_stem(root, folder) for folder in ("raw", "target"))
    for here, there, path in [
        *(("raw", "target", raw[stem]) for stem in sorted(raw.keys() - target.keys())),
        *(("target", "raw", target[stem]) for stem in sorted(target.keys() - raw.keys())),
    ]:
        raise DatasetError(
            f"{path} has no partner: expected {root / there / stem_of(path)}.* beside it; "
            f"add that file, or take {path.name} out of {here}/"
        )
    return [describe(root, raw[stem], target[stem], read_header(raw[stem])) for stem in sorted(raw)]


def describe(root: Path, raw: Path, target: Path, header: Header, **more: object) -> Pair:
    """Return the pair of two files below `root`, in split train, with the columns of the header.

    Args:
        root: The dataset folder.
        raw: The raw file.
        target: The target file.
        header: The header of the raw file.
        more: Further columns and their values.
    """
    return Pair(
        case_id=stem_of(raw),
        raw_path=raw.relative_to(root).as_posix(),
        target_path=target.relative_to(root).as_posix(),
        split="train",
        **(header_columns(header) | more),  # type: ignore[arg-type]
    )


def header_columns(header: Header) -> dict[str, object]:
    """Return the columns that are taken from the header of a raw file; none is an identity."""
    study = header.study_uid
    return {
        "patient_id": header.patient,
        "species": one_line(species_of(header.species)),
        "breed": one_line(header.breed),
        "body_part": one_line(header.body_part),
        "view": one_line(header.view),
        "study_uid": hashlib.sha256(study.encode()).hexdigest()[:12] if study else "",
        "photometric": one_line(header.photometric),
        "pixel_intensity": header.relationship or "",
        "sign": header.sign,
        "intent": header.intent or "",
        "lossy": None if header == Header() else int(header.lossy),
        "kvp": header.kvp,
        "mas": header.mas,
        "manufacturer": one_line(header.manufacturer),
        "model": one_line(header.model),
    }


def image_columns(radiograph: Radiograph) -> dict[str, object]:
    """Return the columns that are taken from the image itself."""
    rows, cols = radiograph.shape
    spacing = radiograph.spacing_mm
    return {
        "rows": rows,
        "cols": cols,
        "bits_stored": radiograph.bits,
        "pixel_spacing_mm": None if spacing is None else round(sum(spacing) / 2, 6),
        "pixels_sha256": hashlib.sha256(radiograph.pixels.tobytes()).hexdigest(),
    }


def case_names(cases: Iterable[Hashable], listed: Iterable[Hashable]) -> list[str]:
    """Return what to call cases where the names of their files must not be seen: case 1, case 2.

    Args:
        cases: Some pairs of a dataset, or files.
        listed: All of them, accepted or not, as `listed_pairs` or `find_pairs` returns them: they
            are counted from 1.
    """
    numbers = {case: number for number, case in enumerate(listed, 1)}
    return [f"case {numbers[case]}" for case in cases]


def check_patients(pairs: Iterable[Pair]) -> None:
    """Raise DatasetError when one patient is in two splits: validation would be too good."""
    splits: dict[str, set[str]] = defaultdict(set)
    for pair in pairs:
        splits[pair.patient].add(pair.split)
    for patient, found in sorted(splits.items()):
        if len(found) > 1:
            raise DatasetError(
                f"patient {one_line(patient)} is in the splits {' and '.join(sorted(found))} of "
                f"{MANIFEST}; give all radiographs of one patient the same split"
            )


def check_files(root: Path, pairs: Iterable[Pair]) -> None:
    """Raise DatasetError unless both files of every pair are there."""
    for pair in pairs:
        for path in (pair.raw_path, pair.target_path):
            if not os.path.isfile(root / path):
                raise DatasetError(
                    f"{one_line(root / path)} of case {one_line(pair.case_id)} is not there; "
                    f"restore it, or set accept to 0 for this case in {root / MANIFEST}"
                )


def fingerprint(root: Path, pairs: Iterable[Pair]) -> str:
    """Return a hash that is another one when pairs, splits, sizes of files or declarations change.

    Contents are not read, which would take minutes; `pixels_sha256` in the manifest stands for
    them where `radenhance prepare` wrote it.

    Args:
        root: The dataset folder.
        pairs: Its accepted pairs.
    """
    found = hashlib.sha256()
    for pair in sorted(pairs, key=lambda pair: pair.case_id):
        sizes = [(root / path).stat().st_size for path in (pair.raw_path, pair.target_path)]
        known = (pair.case_id, pair.split, pair.pixels_sha256, pair.raw_path, pair.target_path)
        found.update(repr((known, sizes)).encode())
    description = root / DESCRIPTION
    found.update(description.read_bytes() if description.is_file() else b"")
    return found.hexdigest()


def _pair(row: dict[str, str], where: str) -> Pair:
    known = {field.name for field in fields(Pair)}
    values: dict[str, object] = {key: from_csv(row[key] or "") for key in row if key in known}
    for name, in_one_case in _CATEGORIES.items():
        if name in values:
            values[name] = in_one_case(str(values[name]).strip())
    if values["split"] not in get_args(Split):
        raise DatasetError(
            f"{where}: split is {one_line(values['split'])!r}, expected train, val or test"
        )
    if not _is_name(str(values["case_id"])):
        raise DatasetError(
            f"{where}: case_id is {one_line(values['case_id'])!r}, expected the name of a file "
            "without its suffix"
        )
    accept = str(values.pop("accept", "")).strip() or "1"
    if accept.lower() not in _ACCEPT:
        raise DatasetError(f"{where}: accept is {one_line(accept)!r}, expected 1 or 0")
    if changed := [name for name in _HASHES if _SPOILED.fullmatch(str(values.get(name, "")))]:
        raise DatasetError(
            f"{where}: {changed[0]} is {one_line(values[changed[0]])!r}, which a spreadsheet made "
            "of a hash that looks like a number; empty the cell, or import the column as text"
        )
    for column in _NUMBERS.keys() & values.keys():
        values[column] = _number(str(values[column]), column, where)
    values.setdefault("patient_id", "")
    return Pair(**values, accept=_ACCEPT[accept.lower()])  # type: ignore[arg-type]


def _is_name(case_id: str) -> bool:
    """Say whether a case id names a file beside others; files are written by it."""
    return case_id not in ("", ".", "..") and not {*"/\\\0"} & {*case_id}


def _number(text: str, column: str, where: str) -> int | float | None:
    if not text.strip():
        return None
    kind, lowest, highest = _NUMBERS[column]
    try:
        number = kind(_WHOLE.sub("", text.strip().replace(",", ".")))
    except ValueError as error:
        raise DatasetError(f"{where}: {column} is {one_line(text)!r}, expected a number") from error
    if not lowest <= number <= highest:
        expected = f"{lowest} to {highest}" if kind is int else "a finite number"
        raise DatasetError(f"{where}: {column} is {one_line(text)!r}, expected {expected}")
    return number


def _added_columns(path: Path, names: list[str]) -> tuple[list[str], dict[str, dict[str, str]]]:
    if not path.is_file():
        return [], {}
    columns, rows = _read(path)
    added = [name for name in columns if name and name not in names]
    return added, {
        from_csv(row["case_id"]): {name: from_csv(row[name]) for name in added}
        for _, row in rows
        if row.get("case_id")
    }


def may_be_radiograph(path: Path) -> bool:
    """Return whether a file's name may be that of a radiograph; scanners often omit the suffix."""
    return path.suffix.lower() in RADIOGRAPH_SUFFIXES or stem_of(path) == path.name


def stem_of(path: Path) -> str:
    """Return a file's name without its suffix; the end of a UID, 1.2.840.113, is no suffix."""
    numbered = path.suffix[1:].isdigit()
    return path.name if numbered else path.stem


def _by_stem(root: Path, folder: str) -> dict[str, Path]:
    if not (root / folder).is_dir():
        raise DatasetError(
            f"{root} is not a dataset: it has neither {MANIFEST} nor a folder {folder}/; expected "
            f"raw/ and target/ with files of the same name"
        )
    files: dict[str, Path] = {}
    for path in sorted((root / folder).iterdir()):
        if not path.is_file() or path.name.startswith("."):
            continue
        if not may_be_radiograph(path):
            raise DatasetError(
                f"{path} is not a radiograph: expected .dcm, .png, .tif or .npy; move it elsewhere"
            )
        stem = stem_of(path)
        if stem in files:
            raise DatasetError(f"{path} and {files[stem].name} have one stem; rename one")
        files[stem] = path
    if not files:
        raise DatasetError(f"{root / folder} is empty: expected radiographs (.dcm, .png, ...)")
    return files
