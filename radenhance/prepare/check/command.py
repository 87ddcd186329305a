"""Is the data right? `radenhance check DATASET`."""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from radenhance.console import say
from radenhance.dataset.description import load_declarations
from radenhance.dataset.manifest import MANIFEST, find_pairs, listed_pairs
from radenhance.dataset.pair import Pair
from radenhance.dataset.split import split_by_patient
from radenhance.errors import DatasetError
from radenhance.files import replace_file
from radenhance.prepare.check.examination import Examination, Half, Job, examine
from radenhance.prepare.check.sheet import write_check_sheet
from radenhance.prepare.parallel import add_processes_flag, in_parallel

VAL_FRACTION = 0.2
"""Of datasets without a manifest, as --data.val_fraction."""


def main(arguments: Sequence[str]) -> None:
    """Run `radenhance check`.

    Raises:
        DatasetError: The dataset cannot be trained on as it is.
    """
    parser = argparse.ArgumentParser(
        prog="radenhance check",
        description="Look at every pair of a dataset: readable, bits, polarity, alignment, "
        "duplicates, patients in two splits. Exit code 0: it trains, maybe with warnings; "
        "2: it does not, or would learn what is wrong.",
    )
    parser.add_argument("dataset", type=Path, help="the dataset folder")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all findings there")
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE", help="write a picture of up to 12 pairs there (PNG)"
    )
    add_processes_flag(parser)
    options = parser.parse_args(arguments[1:])
    examinations, of_dataset = check(options.dataset, num_processes=options.processes)
    say(report(examinations, of_dataset))
    if options.json:
        replace_file(options.json, as_json(examinations, of_dataset).encode())
    if options.sheet:
        write_check_sheet(options.sheet, options.dataset, examinations)
        say(f"Picture (raw | target | difference): {options.sheet.resolve()}")
    used = [e for e in examinations if e.pair.accept]
    faulty = sum(bool(e.faults) for e in used)
    if faulty or of_dataset:
        raise DatasetError(
            f"{options.dataset} is not fit to train on: {faulty} of {len(used)} pairs have "
            f"faults{' and ' + of_dataset[0] if of_dataset else ''}; mend them, or set accept to 0 "
            f"for those pairs in {MANIFEST}"
        )


def check(
    root: Path, *, num_processes: int | None = None
) -> tuple[list[Examination], tuple[str, ...]]:
    """Examine all pairs of the dataset folder `root`, on all cores or `num_processes`.

    Returns:
        The examinations in the manifest's order, those of rejected pairs without a look at their
        files; and faults of the dataset as a whole.

    Raises:
        DatasetError: The manifest or dataset.yaml cannot be understood, or there is no dataset.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    rules = load_declarations(root)
    pairs = _pairs(root)
    accepted = [Job(root, rules, pair) for pair in pairs if pair.accept]
    found = in_parallel(
        examine, accepted, title=f"Checking {root}", unit="pair", num_processes=num_processes
    )
    examined = iter(list(found))
    examinations = [next(examined) if pair.accept else Examination(pair) for pair in pairs]
    return compared(examinations), faults_of_splits(pairs)


def compared(examinations: Sequence[Examination]) -> list[Examination]:
    """Return the examinations with what only shows between pairs: duplicates, patients' splits."""
    used = [e for e in examinations if e.pair.accept]
    raw = _groups(used, lambda e: e.raw.pixels_hash if e.raw else None)
    target = _groups(used, lambda e: e.target.pixels_hash if e.target else None)
    patients = _groups(used, lambda e: e.pair.patient)
    return [_among(e, raw, target, patients) if e.pair.accept else e for e in examinations]


def faults_of_splits(pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Return what is wrong with the splits as a whole."""
    used = {pair.split for pair in pairs if pair.accept}
    return tuple(f"no pair in split {split}" for split in ("train", "val") if split not in used)


def report(examinations: Sequence[Examination], of_dataset: Sequence[str]) -> str:
    """Return a line per pair and a summary."""
    width = max((len(e.pair.case_id) for e in examinations), default=4)
    head = f"{'':8}{'case':<{width}}  split  {'species':<8}{'size':>11}  "
    lines = [f"{head}{'raw':<24}{'target':<18}{'shift':>6}{'likeness':>10}  problems"]
    lines += [_line(e, width) for e in examinations]
    return "\n".join([*lines, "", *_summary(examinations, of_dataset)])


def as_json(examinations: Sequence[Examination], of_dataset: Sequence[str]) -> str:
    """Return all findings as JSON: whether it trains, faults, counts, and a list of pairs."""
    return json.dumps(
        {
            "trains": not of_dataset and not any(e.faults for e in examinations),
            "faults": list(of_dataset),
            "splits": _splits(examinations),
            "pairs": [_entry(e) for e in examinations],
        },
        indent=1,
    )


_Groups = dict[str, list[Examination]]


def _groups(
    examinations: Sequence[Examination], key: Callable[[Examination], str | None]
) -> _Groups:
    groups: _Groups = defaultdict(list)
    for examination in examinations:
        name = key(examination)
        if name is not None:
            groups[name].append(examination)
    return groups


def _among(e: Examination, raw: _Groups, target: _Groups, patients: _Groups) -> Examination:
    faults, warnings = list(e.faults), list(e.warnings)
    for name, half, groups in (("raw", e.raw, raw), ("target", e.target, target)):
        for other in groups[half.pixels_hash] if half else ():
            if other.pair is e.pair:
                continue
            told = f"{name} is pixel for pixel that of {other.pair.case_id} ({other.pair.split})"
            (warnings if other.pair.split == e.pair.split else faults).append(told)
    splits = {other.pair.split for other in patients[e.pair.patient]}
    if len(splits) > 1:
        faults.append(
            f"its patient {e.pair.patient} is in the splits {' and '.join(sorted(splits))}"
        )
    return replace(e, faults=tuple(faults), warnings=tuple(warnings))


def _line(e: Examination, width: int) -> str:
    mark = "FAULT" if e.faults else "warning" if e.warnings else "ok"
    mark = mark if e.pair.accept else "unused"
    half = e.raw or e.target
    size = f"{half.rows} x {half.cols}" if half else ""
    shift = f"{e.alignment.distance:.2f}" if e.alignment else ""
    likeness = f"{e.alignment.likeness:.2f}" if e.alignment else ""
    raw = f"{_declared(e.raw)} {e.raw.relationship}" if e.raw else ""
    problems = "; ".join([*e.faults, *e.warnings] if e.pair.accept else ["accept is 0"])
    start = f"{mark:<8}{e.pair.case_id:<{width}}  {e.pair.split:<7}{e.pair.species:<8}{size:>11}  "
    line = f"{start}{raw:<24}{_declared(e.target):<18}{shift:>6}{likeness:>10}  {problems}"
    return line.rstrip()


_SHORT = {"(0028,1041)": "sign", "(0028,0004)": "photometric"}


def _declared(half: Half | None) -> str:
    """Return bits, and by what polarity is declared, in short."""
    if half is None:
        return ""
    return f"{half.bits} {_SHORT.get(half.bone_by.split()[0], half.bone_by)}"


def _summary(examinations: Sequence[Examination], of_dataset: Sequence[str]) -> list[str]:
    used = [e for e in examinations if e.pair.accept]
    faulty = sum(bool(e.faults) for e in used)
    warned = sum(bool(e.warnings and not e.faults) for e in used)
    unreviewed = sum(not e.pair.reviewed_by for e in used)
    lines = [
        f"{split}: " + ", ".join(f"{count} {species}" for species, count in counts.items())
        for split, counts in _splits(examinations).items()
    ]
    lines.append(
        f"{len(used)} pairs: {faulty} with faults, {warned} with warnings; {unreviewed} not "
        f"reviewed by anyone; {len(examinations) - len(used)} rejected"
    )
    return [*lines, *(f"FAULT   {fault}" for fault in of_dataset)]


def _splits(examinations: Sequence[Examination]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {"train": Counter(), "val": Counter(), "test": Counter()}
    for e in examinations:
        if e.pair.accept:
            counts[e.pair.split][e.pair.species or "of unknown species"] += 1
    return {split: dict(sorted(found.items())) for split, found in counts.items() if found}


def _entry(e: Examination) -> dict[str, object]:
    return {
        "case_id": e.pair.case_id,
        "split": e.pair.split,
        "species": e.pair.species,
        "accept": e.pair.accept,
        "reviewed_by": e.pair.reviewed_by,
        "faults": e.faults,
        "warnings": e.warnings,
        "shift": e.alignment and [round(s, 3) for s in e.alignment.shift],
        "likeness": e.alignment and round(e.alignment.likeness, 4),
        "raw": e.raw and asdict(e.raw),
        "target": e.target and asdict(e.target),
    }


def _pairs(root: Path) -> list[Pair]:
    if (root / MANIFEST).is_file():
        return listed_pairs(root)
    return split_by_patient(find_pairs(root), val=VAL_FRACTION)
