"""Is the data right? `radenhance check DATASET`.

    manifest -> examine each pair -> compare pairs with each other -> report, JSON, picture

It costs minutes and finds what would otherwise cost a training.
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from radenhance.console import Parser, say
from radenhance.dataset.description import load_declarations
from radenhance.dataset.manifest import MANIFEST, case_names, find_pairs, listed_pairs
from radenhance.dataset.outside_field import OutsideField
from radenhance.dataset.pair import Pair
from radenhance.dataset.split import split_by_patient
from radenhance.errors import DatasetError
from radenhance.files import replace_file
from radenhance.foreign_text import LONGEST_MESSAGE, one_line
from radenhance.prepare.check.findings import ImageFindings, PairFindings, examine
from radenhance.prepare.check.sheet import write_check_sheet
from radenhance.prepare.listing import remarks_on_targets
from radenhance.prepare.outside import remarks, rule_of
from radenhance.prepare.parallel import add_processes_flag, in_parallel

VAL_FRACTION = 0.2
"""Fraction in split val of a dataset without a manifest, as --data.val_fraction has it."""
MOST_OTHERS = 3
"""Pairs that are named where one shares an image or a patient with more."""


def main(arguments: Sequence[str]) -> None:
    """Run `radenhance check`.

    Raises:
        DatasetError: The dataset cannot be trained on as it is.
    """
    options = _parser().parse_args(arguments[1:])
    findings, of_dataset = check(
        options.dataset, num_processes=options.processes, log_names=options.log_names
    )
    declared = load_declarations(options.dataset).outside_field
    say(report(findings, of_dataset, outside_field=declared))
    if options.json:
        content = as_json(findings, of_dataset, log_names=options.log_names)
        replace_file(options.json, content.encode())
    if options.sheet:
        write_check_sheet(options.sheet, options.dataset, findings)
        say(f"Picture (raw | target | difference): {options.sheet.resolve()}")
    used = [e for e in findings if e.pair.accept]
    faulty = sum(bool(e.faults) for e in used)
    if faulty or of_dataset:
        raise DatasetError(
            f"{options.dataset} is not fit to train on: {faulty} of {len(used)} pairs have "
            f"faults{' and ' + of_dataset[0] if of_dataset else ''}; correct them, or set accept "
            f"to 0 for those pairs in {MANIFEST}"
        )


def check(
    root: Path, *, num_processes: int | None = None, log_names: bool = False
) -> tuple[list[PairFindings], tuple[str, ...]]:
    """Examine all pairs of a dataset folder.

    Args:
        root: The dataset folder.
        num_processes: Largest number of pairs to process at a time; one per core when None.
        log_names: Whether reports call pairs by their case ids, too, which may be names of files.

    Returns:
        The findings in the order of the manifest, where pairs with accept 0 were not read; and the
        faults of the dataset as a whole.

    Raises:
        DatasetError: There is no such folder, or its manifest or dataset.yaml cannot be understood.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    pairs = _pairs(root)
    accepted = [pair for pair in pairs if pair.accept]
    look = partial(examine, root, load_declarations(root))
    title = f"Checking {root}"
    called = _called(pairs, log_names=log_names)
    examined: list[PairFindings] = []
    try:
        for found in in_parallel(
            look, accepted, title=title, unit="pair", num_processes=num_processes
        ):
            examined.append(found)
    except KeyboardInterrupt:
        used = [case for pair, case in zip(pairs, called, strict=True) if pair.accept]
        say(_report_so_far(examined, used))
        raise
    each = iter(examined)
    findings = [
        replace(next(each) if pair.accept else PairFindings(pair), case=case)
        for pair, case in zip(pairs, called, strict=True)
    ]
    return compared(findings), faults_of_splits(pairs)


def _report_so_far(examined: Sequence[PairFindings], cases: Sequence[str]) -> str:
    """Return the report on the first pairs, of those that reports call `cases`."""
    findings = [replace(e, case=case) for e, case in zip(examined, cases, strict=False)]
    told = f"stopped after {len(examined)} of {len(cases)} pairs; nothing is said of the others"
    return f"{report(compared(findings), ())}\n{told}"


def compared(findings: Sequence[PairFindings]) -> list[PairFindings]:
    """Return the findings with what shows between pairs alone: duplicates, splits of patients."""
    used = [e for e in findings if e.pair.accept]
    raw = _groups(used, lambda e: e.raw.pixels_hash if e.raw else None)
    target = _groups(used, lambda e: e.target.pixels_hash if e.target else None)
    patients = _groups(used, lambda e: e.pair.patient)
    return [_among(e, raw, target, patients) if e.pair.accept else e for e in findings]


def faults_of_splits(pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Return the faults of the splits as a whole."""
    used = {pair.split for pair in pairs if pair.accept}
    return tuple(f"no pair in split {split}" for split in ("train", "val") if split not in used)


def report(
    findings: Sequence[PairFindings],
    of_dataset: Sequence[str],
    *,
    outside_field: OutsideField | None = None,
) -> str:
    """Return a line per pair and a summary.

    Args:
        findings: The findings in each pair.
        of_dataset: The faults of the dataset as a whole.
        outside_field: What dataset.yaml says; None if it says nothing.
    """
    width = max((len(e.case) for e in findings), default=4)
    head = f"{'':8}{'case':<{width}}  split  {'species':<8}{'size':>11}  "
    lines = [f"{head}{'raw':<24}{'target':<18}{'shift':>6}{'correlation':>13}  problems"]
    lines += [_line(e, width) for e in findings]
    told = remarks((e.outside_field for e in findings), outside_field)
    return "\n".join([*lines, "", *_summary(findings, of_dataset), *told])


def as_json(
    findings: Sequence[PairFindings], of_dataset: Sequence[str], *, log_names: bool = False
) -> str:
    """Return all findings as JSON: fit to train on or not, faults, counts, and a list of pairs."""
    return json.dumps(
        {
            "trains": not of_dataset and not any(e.faults for e in findings),
            "faults": list(of_dataset),
            "splits": _splits(findings),
            "outside_field": rule_of(e.outside_field for e in findings),
            "pairs": [_entry(e, log_names=log_names) for e in findings],
        },
        indent=1,
    )


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="radenhance check",
        description="Look at every pair of a dataset: can it be read, bits, polarity, alignment, "
        "duplicates, patients in two splits. Exit code 0: fit to train on, perhaps with warnings; "
        "2: not fit to train on.",
    )
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="dataset folder")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all findings to FILE")
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE", help="write a picture of up to 12 pairs to FILE (PNG)"
    )
    parser.add_argument(
        "--log-names", action="store_true", help="name cases and reviewers, not numbers alone"
    )
    add_processes_flag(parser)
    return parser


_Groups = dict[str, dict[str, list[str]]]
"""What pairs share -> split -> what reports call the pairs of that split that share it."""


def _groups(findings: Sequence[PairFindings], key: Callable[[PairFindings], str | None]) -> _Groups:
    groups: _Groups = defaultdict(lambda: defaultdict(list))
    for e in findings:
        if (shared := key(e)) is not None:
            groups[shared][e.pair.split].append(e.case)
    return groups


def _among(e: PairFindings, raw: _Groups, target: _Groups, patients: _Groups) -> PairFindings:
    faults, warnings = list(e.faults), list(e.warnings)
    for name, image, groups in (("raw", e.raw, raw), ("target", e.target, target)):
        for split, cases in groups[image.pixels_hash].items() if image else ():
            if others := _others(cases, e.case):
                told = f"{name} is pixel for pixel that of {others} ({split})"
                (warnings if split == e.pair.split else faults).append(told)
    splits = patients[e.pair.patient]
    if len(splits) > 1:
        others = _others([case for cases in splits.values() for case in cases], e.case)
        told = " and ".join(sorted(splits))
        faults.append(f"its patient is in the splits {told}, also with {others}")
    return replace(e, faults=tuple(faults), warnings=tuple(warnings))


def _others(cases: Sequence[str], case: str) -> str:
    """Return the first of some pairs, and how many more there are, `case` left out.

    Thousands may share an image: all in the line of each would be millions.
    """
    first = [other for other in cases[: MOST_OTHERS + 1] if other != case][:MOST_OTHERS]
    more = len(cases) - len(first) - (case in cases)
    return ", ".join(first) + (f" and {more} more" if more else "")


def _line(e: PairFindings, width: int) -> str:
    mark = "FAULT" if e.faults else "warning" if e.warnings else "ok"
    mark = mark if e.pair.accept else "unused"
    image = e.raw or e.target
    size = f"{image.rows} x {image.cols}" if image else ""
    shift = f"{e.alignment.distance:.2f}" if e.alignment else ""
    correlation = f"{e.alignment.correlation:.2f}" if e.alignment else ""
    raw = f"{_declared(e.raw)} {e.raw.relationship}" if e.raw else ""
    problems = "; ".join([*e.faults, *e.warnings] if e.pair.accept else ["accept is 0"])
    start = f"{mark:<8}{e.case:<{width}}  {e.pair.split:<7}{e.pair.species:<8}{size:>11}  "
    line = f"{start}{raw:<24}{_declared(e.target):<18}{shift:>6}{correlation:>13}  {problems}"
    return one_line(line.rstrip(), LONGEST_MESSAGE)


_SHORT = {"(0028,1041)": "sign", "(0028,0004)": "photometric"}


def _declared(image: ImageFindings | None) -> str:
    """Return the bits, and in short what declares the polarity."""
    if image is None:
        return ""
    return f"{image.bits} {_SHORT.get(image.bone_by.split()[0], image.bone_by)}"


def _summary(findings: Sequence[PairFindings], of_dataset: Sequence[str]) -> list[str]:
    used = [e for e in findings if e.pair.accept]
    faulty = sum(bool(e.faults) for e in used)
    warned = sum(bool(e.warnings and not e.faults) for e in used)
    unreviewed = sum(not e.pair.reviewed_by for e in used)
    lines = [
        f"{split}: " + ", ".join(f"{count} {species}" for species, count in counts.items())
        for split, counts in _splits(findings).items()
    ]
    lines.append(
        f"{len(used)} pairs: {faulty} with faults, {warned} with warnings; {unreviewed} not "
        f"reviewed by anyone; {len(findings) - len(used)} with accept 0"
    )
    lines += remarks_on_targets([e.pair for e in used])
    return [*lines, *(f"FAULT   {fault}" for fault in of_dataset)]


def _called(pairs: Sequence[Pair], *, log_names: bool) -> list[str]:
    numbered = case_names(pairs, pairs)
    if not log_names:
        return numbered
    return [f"{name}, {one_line(p.case_id)}" for name, p in zip(numbered, pairs, strict=True)]


def _splits(findings: Sequence[PairFindings]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {"train": Counter(), "val": Counter(), "test": Counter()}
    for e in findings:
        if e.pair.accept:
            counts[e.pair.split][e.pair.species or "of unknown species"] += 1
    return {split: dict(sorted(found.items())) for split, found in counts.items() if found}


def _entry(e: PairFindings, *, log_names: bool) -> dict[str, object]:
    people = {"case_id": e.pair.case_id, "reviewed_by": e.pair.reviewed_by}
    return {
        "case": e.case,
        **(people if log_names else {}),
        "split": e.pair.split,
        "species": e.pair.species,
        "accept": e.pair.accept,
        "reviewed": bool(e.pair.reviewed_by),
        "faults": e.faults,
        "warnings": e.warnings,
        "shift": e.alignment and [round(s, 3) for s in e.alignment.shift],
        "correlation": e.alignment and round(e.alignment.correlation, 4),
        "outside_field": e.outside_field,
        "raw": e.raw and asdict(e.raw),
        "target": e.target and asdict(e.target),
    }


def _pairs(root: Path) -> list[Pair]:
    if (root / MANIFEST).is_file():
        return listed_pairs(root)
    return split_by_patient(find_pairs(root), val=VAL_FRACTION)
