"""What `radenhance prepare` writes about a dataset, and says of it in the end."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from radenhance.dataset.description import write_description
from radenhance.dataset.manifest import MANIFEST, write_manifest
from radenhance.dataset.pair import Pair
from radenhance.files import replace_file
from radenhance.prepare.source import Rejected

REJECTED = "rejected.csv"

_NUM_REASONS_SHOWN = 3


def write_lists(root: Path, pairs: Sequence[Pair], rejected: Iterable[Rejected]) -> None:
    """Write rejected.csv, dataset.yaml and last pairs.csv, the latter two where there are pairs.

    Args:
        root: The dataset folder.
        pairs: All of them.
        rejected: Files of the last export that are in no pair, without names of patients.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(("file", "sha256", "reason"))
    writer.writerows((file.name, file.sha256, file.reason) for file in rejected)
    replace_file(root / REJECTED, text.getvalue().encode())
    if pairs:
        species = Counter(pair.species or "unknown" for pair in pairs)
        makers = Counter(pair.target_algo or "a device or a person" for pair in pairs)
        write_description(root, species=species, targets=makers)
        write_manifest(root, pairs)


def report(
    root: Path, pairs: Sequence[Pair], rejected: Sequence[Rejected], *, anonymized: bool
) -> str:
    """Return what came out, for the command line."""
    species = Counter(pair.species or "unknown" for pair in pairs)
    splits = Counter(str(pair.split) for pair in pairs if pair.accept)
    makers = Counter("of the reference enhancer" if p.target_algo else "as given" for p in pairs)
    lines = [
        f"{len(pairs)} pairs in {root / MANIFEST}: {_listed(species)}",
        f"splits: {_listed(splits)}",
        f"targets: {_listed(makers)}",
    ]
    if rejected:
        lines.append(f"files in no pair: {len(rejected)}, see {root / REJECTED}")
        reasons = Counter(file.reason for file in rejected)
        lines += [f"  {n} x {why}" for why, n in reasons.most_common(_NUM_REASONS_SHOWN)]
    lines.append(_identity(pairs, anonymized=anonymized))
    return "\n".join(lines) + "\n"


def nothing_came_out(raw: Path, root: Path, rejected: Sequence[Rejected]) -> str:
    """Return the error that no file of an export can be used."""
    if not rejected:
        return f"{raw} has no files; expected radiographs (DICOM, PNG, TIFF or NPY)"
    why, number = Counter(file.reason for file in rejected).most_common(1)[0]
    return (
        f"no radiograph in {raw} can be used; {len(rejected)} files are listed in "
        f"{root / REJECTED}, {number} of them because: {why}"
    )


def _listed(numbers: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(numbers.items()))


def _identity(pairs: Sequence[Pair], *, anonymized: bool) -> str:
    if anonymized:
        return (
            "Names, dates and free text were left out of the files made now; text that is burned "
            "into pixels was not looked for."
        )
    if any(path.endswith(".dcm") for p in pairs for path in (p.raw_path, p.target_path)):
        return (
            "The DICOM files are copies and tell who patients and owners are; keep the folder "
            "where such data may be, or use --anonymize."
        )
    return "The files are copies as they came; texts in them, if any, were not looked at."
