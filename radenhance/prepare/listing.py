"""What `radenhance prepare` writes about a dataset, and prints about it in the end.

`pairs.csv` is written last: whoever finds it finds all files that it lists.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from radenhance.dataset.description import load_declarations, write_description
from radenhance.dataset.manifest import MANIFEST, write_manifest
from radenhance.dataset.pair import Pair
from radenhance.files import replace_file
from radenhance.foreign_text import in_csv, one_line
from radenhance.prepare.outside import remarks, rule_of
from radenhance.prepare.source import Rejected
from radenhance.prepare.twins import EVIDENCE

REJECTED = "rejected.csv"

_NUMBER = re.compile(r"\d+")


def write_lists(root: Path, pairs: Sequence[Pair], rejected: Iterable[Rejected]) -> None:
    """Write rejected.csv and, where there are pairs, dataset.yaml and last pairs.csv.

    Args:
        root: The dataset folder.
        pairs: All pairs of the dataset.
        rejected: Files of the last export that are in no pair, without names of patients.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(("file", "sha256", "reason"))
    for file in rejected:
        writer.writerow((in_csv(one_line(file.name)), file.sha256, in_csv(one_line(file.reason))))
    replace_file(root / REJECTED, text.getvalue().encode())
    if pairs:
        species = Counter(pair.species or "unknown" for pair in pairs)
        makers = Counter(pair.target_algo or "a device or a person" for pair in pairs)
        rule = rule_of(_outside(pairs))
        write_description(root, species=species, targets=makers, outside_field=rule)
        write_manifest(root, pairs)


def report(
    root: Path, pairs: Sequence[Pair], rejected: Sequence[Rejected], *, anonymized: bool
) -> str:
    """Return the summary that the command prints: pairs, splits, targets, rejected files."""
    species = Counter(pair.species or "unknown" for pair in pairs)
    splits = Counter(str(pair.split) for pair in pairs if pair.accept)
    lines = [
        f"{len(pairs)} pairs in {root / MANIFEST}: {_listed(species)}",
        f"splits: {_listed(splits)}",
        *remarks_on_targets(pairs),
        *remarks(_outside(pairs), load_declarations(root).outside_field),
    ]
    if rejected:
        lines.append(f"files in no pair: {len(rejected)}, see {root / REJECTED}")
        lines += _reasons(rejected)
    lines.append(_identity(pairs, anonymized=anonymized))
    return "\n".join(lines)


def remarks_on_targets(pairs: Sequence[Pair]) -> list[str]:
    """Return lines that tell whence targets and losses come, and what to do against a mixture.

    Args:
        pairs: The pairs of a dataset; those with accept 0 count for nothing.
    """
    used = [pair for pair in pairs if pair.accept]
    makers = Counter(
        "made by the reference enhancer" if p.target_algo else "as given" for p in used
    )
    lines = [f"targets: {_listed(makers)}"]
    if len(makers) > 1:
        lines.append(
            "warning Two kinds of targets teach a network a mixture; prepare --no-reference, into "
            "a new folder, leaves out the pairs whose target would be made."
        )
    found = Counter(pair.paired_by for pair in used if pair.paired_by in EVIDENCE)
    if found:
        lines.append(
            f"{found.total()} targets name no raw image and were found within their study by what "
            f"both show ({_listed(found)}): see paired_by in {MANIFEST}, or leave them out with "
            "prepare --named-twins-only"
        )
    if lossy := sum(bool(pair.lossy) for pair in used):
        lines.append(
            f"warning {lossy} raw images went through a compression that loses: fine detail is "
            "gone, and a network learns the traces; export them without, or leave them out with "
            "prepare --no-lossy"
        )
    return lines


def report_so_far(num_made: int, num_cases: int, rejected: Sequence[Rejected]) -> str:
    """Return what the command prints where it was stopped while it made pairs.

    Args:
        num_made: Number of cases that were done, with a pair or without.
        num_cases: Number of cases to do.
        rejected: Files that will be in no pair, as far as it is known.
    """
    lines = [
        f"stopped after {num_made} of {num_cases} cases; they are kept, and the same command goes "
        "on from there",
        f"files in no pair so far: {len(rejected)}",
        *_reasons(rejected),
    ]
    return "\n".join(lines)


def nothing_came_out(raw: Path, root: Path, rejected: Sequence[Rejected]) -> str:
    """Return the error message for an export of which no file can be used."""
    if not rejected:
        return f"{raw} has no files, expected radiographs (DICOM, PNG, TIFF or NPY)"
    why, number = Counter(file.reason for file in rejected).most_common(1)[0]
    return (
        f"no radiograph in {raw} can be used; {root / REJECTED} lists {len(rejected)} files with "
        f"reasons, {number} of them with this one: {why}"
    )


def _reasons(rejected: Sequence[Rejected]) -> list[str]:
    return [f"  {number} x {one_line(why)}" for why, number in _kinds_of_reasons(rejected)]


def _kinds_of_reasons(rejected: Sequence[Rejected]) -> list[tuple[str, int]]:
    """Return one reason of each kind and their number; those of a kind differ in numbers alone."""
    kinds: dict[str, list[str]] = {}
    for file in rejected:
        kinds.setdefault(_NUMBER.sub("0", file.reason), []).append(file.reason)
    ordered = sorted(kinds.values(), key=len, reverse=True)
    return [(Counter(reasons).most_common(1)[0][0], len(reasons)) for reasons in ordered]


def _outside(pairs: Sequence[Pair]) -> list[str]:
    return [pair.outside_field for pair in pairs if pair.accept]


def _listed(numbers: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(numbers.items()))


def _identity(pairs: Sequence[Pair], *, anonymized: bool) -> str:
    if anonymized:
        return (
            "Names, dates and free text were removed from the files made in this run; text that is "
            "burned into the pixels was not searched for."
        )
    if any(path.endswith(".dcm") for p in pairs for path in (p.raw_path, p.target_path)):
        return (
            "The DICOM files are plain copies and identify patients and owners; keep the folder "
            "where such data is allowed, or use --anonymize."
        )
    return "The files are plain copies; texts that they may contain were not removed."
