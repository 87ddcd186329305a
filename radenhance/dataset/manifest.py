"""What belongs to what: the pairs of a dataset folder.

A dataset folder holds `raw/` and `target/` with files of the same stem, and `pairs.csv`, one line
per pair. Without `pairs.csv` the pairs are found by their stems, and the caller splits them.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, get_args

from radenhance.dicom.radiograph import Header
from radenhance.dicom.read import read_header
from radenhance.dicom.replace_file import replace_file
from radenhance.errors import DatasetError

MANIFEST = "pairs.csv"
Split = Literal["train", "val", "test"]

RADIOGRAPH_SUFFIXES = ("", ".dcm", ".dicom", ".ima", ".png", ".tif", ".tiff", ".npy")


@dataclass(frozen=True)
class Pair:
    """One line of `pairs.csv`: a raw radiograph and what it should look like.

    Args:
        case_id: The stem that both files share.
        patient_id: A hash or an invented name; never an identity. Empty: a patient of its own.
        raw_path: Relative to the dataset folder, with forward slashes.
        target_path: Relative to the dataset folder, with forward slashes.
        split: train, val or test.
        species: As in (0010,2201) Patient Species Description, in lower case; empty when unknown.
        breed: As in (0010,2292) Patient Breed Description.
        body_part: (0018,0015) Body Part Examined.
        view: (0018,5101) View Position.
        target_algo: What made the target; empty when a person or a device did.
        target_algo_hash: Hash of its parameters.
        accept: 0 keeps the pair listed but out of every split.
        notes: Free text.
    """

    case_id: str
    patient_id: str
    raw_path: str
    target_path: str
    split: Split
    species: str = ""
    breed: str = ""
    body_part: str = ""
    view: str = ""
    target_algo: str = ""
    target_algo_hash: str = ""
    accept: int = 1
    notes: str = ""

    @property
    def patient(self) -> str:
        """Whom the radiograph shows; a case without a patient is one of its own."""
        return self.patient_id or f"of case {self.case_id}"


def read_manifest(root: Path) -> list[Pair]:
    """Return the accepted pairs that `pairs.csv` of the folder `root` lists.

    Raises:
        DatasetError: A column is missing, a value is not one of its column's, a file is not there,
            or one patient is in two splits; the message names the line.
    """
    path = root / MANIFEST
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        required = {"case_id", "raw_path", "target_path", "split"}
        if missing := required - set(reader.fieldnames or ()):
            raise DatasetError(
                f"{path} has no column {', '.join(sorted(missing))}; its first line must name at "
                f"least {', '.join(sorted(required))}"
            )
        pairs = [_pair(row, f"{path}, line {reader.line_num}") for row in reader]
    accepted = [pair for pair in pairs if pair.accept]
    check_files(root, accepted)
    check_patients(accepted)
    return accepted


def write_manifest(root: Path, pairs: Iterable[Pair]) -> None:
    """Write `pairs.csv` into the folder `root`, whole or not at all."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [field.name for field in fields(Pair)])
    writer.writeheader()
    writer.writerows(asdict(pair) for pair in pairs)
    replace_file(root / MANIFEST, text.getvalue().encode())


def find_pairs(root: Path) -> list[Pair]:
    """Return the pairs of `root/raw` and `root/target` that share a stem, all in split train.

    Species and patient are those of the raw file's header.

    Raises:
        DatasetError: A folder is missing or empty, a stem is used twice, or a file has no partner.
    """
    raw, target = (_by_stem(root, folder) for folder in ("raw", "target"))
    for here, there, path in [
        *(("raw", "target", raw[stem]) for stem in sorted(raw.keys() - target.keys())),
        *(("target", "raw", target[stem]) for stem in sorted(target.keys() - raw.keys())),
    ]:
        raise DatasetError(
            f"{path} has no partner: expected {root / there / path.stem}.* beside it; "
            f"add that file, or take {path.name} out of {here}/"
        )
    return [describe(root, raw[stem], target[stem], read_header(raw[stem])) for stem in sorted(raw)]


def describe(root: Path, raw: Path, target: Path, header: Header, **more: str) -> Pair:
    """Return the line of two files below `root`, in split train, with what the raw header tells.

    Args:
        root: The dataset folder.
        raw: The raw file.
        target: Its target.
        header: Of the raw file.
        more: Further columns.
    """
    return Pair(
        case_id=raw.stem,
        patient_id=header.patient,
        raw_path=raw.relative_to(root).as_posix(),
        target_path=target.relative_to(root).as_posix(),
        split="train",
        species=header.species.lower(),
        breed=header.breed,
        body_part=header.body_part,
        view=header.view,
        **more,  # type: ignore[arg-type]
    )


def check_patients(pairs: Iterable[Pair]) -> None:
    """Raise DatasetError when one patient is in two splits: validation would be too good."""
    splits: dict[str, set[str]] = defaultdict(set)
    for pair in pairs:
        splits[pair.patient].add(pair.split)
    for patient, found in sorted(splits.items()):
        if len(found) > 1:
            raise DatasetError(
                f"patient {patient} is in the splits {' and '.join(sorted(found))} of {MANIFEST}; "
                f"give all radiographs of one patient the same split"
            )


def check_files(root: Path, pairs: Iterable[Pair]) -> None:
    """Raise DatasetError unless both files of every pair are there."""
    for pair in pairs:
        for path in (pair.raw_path, pair.target_path):
            if not (root / path).is_file():
                raise DatasetError(
                    f"{root / path} of case {pair.case_id} is not there; restore it, or set accept "
                    f"to 0 for this case in {root / MANIFEST}"
                )


def _pair(row: dict[str, str], where: str) -> Pair:
    known = {field.name for field in fields(Pair)}
    values: dict[str, str | int] = {key: row[key] or "" for key in row if key in known}
    if values["split"] not in get_args(Split):
        raise DatasetError(f"{where}: split is {values['split']!r}, expected train, val or test")
    accept = str(values.pop("accept", "")).strip() or "1"
    if accept not in ("0", "1"):
        raise DatasetError(f"{where}: accept is {accept!r}, expected 1 or 0")
    values.setdefault("patient_id", "")
    return Pair(**values, accept=int(accept))  # type: ignore[arg-type]


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
        if path.suffix.lower() not in RADIOGRAPH_SUFFIXES:
            raise DatasetError(
                f"{path} is not a radiograph: expected .dcm, .png, .tif or .npy; move it elsewhere"
            )
        if path.stem in files:
            raise DatasetError(f"{path} and {files[path.stem].name} have one stem; rename one")
        files[path.stem] = path
    if not files:
        raise DatasetError(f"{root / folder} is empty: expected radiographs (.dcm, .png, ...)")
    return files
