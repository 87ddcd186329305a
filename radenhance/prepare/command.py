"""A clinic's folder of radiographs becomes a dataset that trains: `radenhance prepare`.

    find -> identify -> pair up -> make (read, copy, enhance) -> name -> split -> place -> list

The command may be run again at any time: it adds what is new, does not repeat what was finished,
and keeps what people wrote into the manifest.
"""

import argparse
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from radenhance.console import Parser, say
from radenhance.dataset.description import DESCRIPTION, load_declarations
from radenhance.dataset.manifest import MANIFEST, Pair, check_patients, listed_pairs
from radenhance.errors import DatasetError, UsageError
from radenhance.folders import alone_in
from radenhance.prepare.case import CaseJob, MadeCase, Settings, make_case
from radenhance.prepare.export import Export, read_export
from radenhance.prepare.listing import (
    REJECTED,
    nothing_came_out,
    report,
    report_so_far,
    write_lists,
)
from radenhance.prepare.merge import Drawing, remade, split_new
from radenhance.prepare.pairing import Case, pair_up
from radenhance.prepare.parallel import add_processes_flag, in_parallel
from radenhance.prepare.placing import names_of, place, remove_replaced
from radenhance.prepare.source import Rejected
from radenhance.prepare.target import sha256_of
from radenhance.prepare.twins import with_twins
from radenhance.reference_enhancer.presets import PRESETS

WORK_FOLDER = ".prepare"

_Known = Mapping[str, Pair]


def main(arguments: Sequence[str]) -> None:
    """Run `radenhance prepare RAW OUT`."""
    options = _parser().parse_args(arguments[1:])
    settings = Settings(
        declarations=load_declarations(options.out),
        preset=options.preset,
        reference=not options.no_reference,
        anonymize=options.anonymize,
        link=options.link,
        turn_targets=options.turn_targets,
        register_targets=options.register_targets,
        search_twins=not options.named_twins_only,
        lossy=not options.no_lossy,
    )
    pairs, rejected = prepare(
        options.raw,
        options.out,
        targets=options.targets,
        settings=settings,
        drawing=Drawing(options.val_fraction, options.test_fraction, options.seed),
        keep_names=options.keep_names,
        num_processes=options.processes,
    )
    say(report(options.out, pairs, rejected, anonymized=options.anonymize))


def prepare(
    raw: Path,
    root: Path,
    *,
    settings: Settings,
    targets: Path | None = None,
    drawing: Drawing | None = None,
    keep_names: bool = False,
    num_processes: int | None = None,
) -> tuple[list[Pair], list[Rejected]]:
    """Make a dataset folder of an export, or add to it what is new.

    Args:
        raw: Folder of the export, searched with all folders below it.
        root: The dataset folder to make or to add to.
        settings: The settings that decide how cases are made.
        targets: Folder of processed images that have the names of the raw ones.
        drawing: How a new dataset is drawn into splits; a fifth is in split val when None.
        keep_names: Whether cases are named after their files where these hold no patient's name.
        num_processes: Largest number of images to process at a time; one per core when None.

    Returns:
        All pairs that the manifest lists now, and the files of the export that are in none.

    Raises:
        UsageError: A folder or a flag has a wrong value.
        DatasetError: No file can be used, or the existing manifest is wrong.
    """
    _check_folders(raw, root, targets=targets)
    root.mkdir(parents=True, exist_ok=True)
    with alone_in(root):
        return _prepare(
            raw,
            root,
            settings=settings,
            targets=targets,
            drawing=drawing or Drawing(),
            keep_names=keep_names,
            num_processes=num_processes,
        )


def _prepare(
    raw: Path,
    root: Path,
    *,
    settings: Settings,
    targets: Path | None,
    drawing: Drawing,
    keep_names: bool,
    num_processes: int | None,
) -> tuple[list[Pair], list[Rejected]]:
    listed = listed_pairs(root) if (root / MANIFEST).is_file() else []
    check_patients(pair for pair in listed if pair.accept)
    known = _by_source(root, listed)

    export = read_export(raw, targets, leave_out=root, num_processes=num_processes)
    pairing = pair_up(export.sources)
    if settings.search_twins:
        pairing = with_twins(pairing, settings.declarations, num_processes=num_processes)
    work_folder = root / WORK_FOLDER
    work_folder.mkdir(exist_ok=True)
    jobs = _unfinished(root, pairing.cases, settings, known)
    made = _make(jobs, export, pairing.rejected, num_processes=num_processes)
    again, new, copies = _sort(made, known)
    wanted = _wanted_names(export, pairing.cases) if keep_names else {}
    names = names_of(root, work_folder, listed)
    new = [names.name(pair, wanted.get(pair.source_sha256)) for pair in new]
    new = split_new(listed, new, drawing=drawing)
    placed = place(root, work_folder, [*again, *new])

    pairs = list({pair.case_id: pair for pair in (*listed, *placed)}.values())
    unused = [file for case in made for file in case.rejected]
    rejected = export.shown([*export.rejected, *pairing.rejected, *unused, *copies])
    write_lists(root, pairs, rejected)
    remove_replaced(root, listed, pairs)
    shutil.rmtree(work_folder)
    if not pairs:
        raise DatasetError(nothing_came_out(raw, root, rejected))
    return pairs, rejected


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="radenhance prepare",
        description="Make a dataset of the radiographs in a folder, with targets. Run it again to "
        "add new radiographs; docs/how-to/prepare.md says how to export and how pairs are found.",
    )
    add = parser.add_argument
    add("raw", type=Path, metavar="RAW", help="folder of the export, searched with all below it")
    add("out", type=Path, metavar="OUT", help="dataset folder to make or to add to")
    _add_target_flags(parser)
    _add_split_flags(parser)
    add("--keep-names", action="store_true", help="name cases after their files, not cat0001")
    add("--link", action="store_true", help="make hard links, not copies; on one disk only")
    add("--anonymize", action="store_true", help="remove names, dates and free text from copies")
    add_processes_flag(parser)
    return parser


def _add_target_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--targets",
        type=Path,
        metavar="DIR",
        help="folder of processed images that have the names of the raw ones",
    )
    parser.add_argument(
        "--preset",
        choices=sorted(PRESETS),
        default="default",
        help="preset of the reference enhancer, which makes missing targets (default: default)",
    )
    for flag, text in (
        ("--turn-targets", "turn targets back that are turned or mirrored, as PNG"),
        ("--register-targets", "move targets back that are shifted against the raw image, as PNG"),
        ("--named-twins-only", "pair processed images only with raw images that they name"),
        ("--no-reference", "reject raw images without a target, so that all are of one kind"),
        ("--no-lossy", "reject raw images whose compression lost something"),
    ):
        parser.add_argument(flag, action="store_true", help=text)


def _add_split_flags(parser: argparse.ArgumentParser) -> None:
    drawing = Drawing()
    for name, fraction in (("val", drawing.val), ("test", drawing.test)):
        parser.add_argument(
            f"--{name}-fraction",
            type=float,
            default=fraction,
            metavar="F",
            help=f"fraction of each species in split {name}, by patient (default: {fraction:g})",
        )
    text = f"seed of the splits (default: {drawing.seed})"
    parser.add_argument("--seed", type=int, default=drawing.seed, help=text)


def _check_folders(raw: Path, root: Path, *, targets: Path | None) -> None:
    for flag, folder in (("RAW", raw), ("--targets", targets)):
        if folder is not None and not folder.is_dir():
            raise UsageError(f"{flag} {folder}: no such folder")
    if raw.resolve().is_relative_to(root.resolve()):
        raise UsageError(f"RAW {raw} is inside OUT {root}; choose another folder for OUT")
    if root.exists() and not root.is_dir():
        raise UsageError(f"OUT {root} is a file, expected a folder")
    if not root.exists() or any((root / name).exists() for name in (MANIFEST, WORK_FOLDER)):
        return
    ours = {DESCRIPTION, REJECTED, WORK_FOLDER}
    foreign = sorted(path.name for path in root.iterdir() if path.name not in ours)
    if foreign:
        raise UsageError(
            f"OUT {root} holds {foreign[0]} but no {MANIFEST}, so it is no dataset to add to; "
            "choose an empty folder or a new one"
        )


def _by_source(root: Path, listed: Sequence[Pair]) -> dict[str, Pair]:
    """Return the pairs by the hash of the file that each was made from."""
    known = {}
    for pair in listed:
        source = pair.source_sha256 or pair.raw_sha256
        if not source and (root / pair.raw_path).is_file():
            source = sha256_of(root / pair.raw_path)
        known[source] = pair
    return known


def _unfinished(
    root: Path, cases: Sequence[Case], settings: Settings, known: _Known
) -> list[CaseJob]:
    jobs = [CaseJob(case, settings, root / WORK_FOLDER) for case in cases]
    return [job for job in jobs if not _is_finished(root, job, known.get(job.case.raw.sha256))]


def _make(
    jobs: Sequence[CaseJob],
    export: Export,
    rejected: Sequence[Rejected],
    *,
    num_processes: int | None,
) -> list[MadeCase]:
    """Make cases; where somebody stops it, say what was found so far."""
    made: list[MadeCase] = []
    try:
        for case in in_parallel(make_case, jobs, title="Making pairs", num_processes=num_processes):
            made.append(case)
    except KeyboardInterrupt:
        unused = [file for case in made for file in case.rejected]
        so_far = export.shown([*export.rejected, *rejected, *unused])
        say(report_so_far(len(made), len(jobs), so_far))
        raise
    return made


def _is_finished(root: Path, job: CaseJob, pair: Pair | None) -> bool:
    if pair is None or not all(
        (root / path).is_file() for path in (pair.raw_path, pair.target_path)
    ):
        return False
    # A target of a person or a device stays, also where this run was not given it again.
    own_target = not pair.target_algo and job.case.target is None
    return own_target or not pair.recipe or job.is_made_by(pair.recipe)


def _sort(made: Sequence[MadeCase], known: _Known) -> tuple[list[Pair], list[Pair], list[Rejected]]:
    """Return pairs that were made again, new pairs, and raw files with the pixels of another."""
    again, new, copies = [], [], []
    shown = {pair.pixels_sha256: pair.source_sha256 for pair in known.values()}
    for case in made:
        pair = case.pair
        if pair is None:
            continue
        first = shown.setdefault(pair.pixels_sha256, pair.source_sha256)
        if pair.source_sha256 in known:
            again.append(remade(known[pair.source_sha256], pair))
        elif first == pair.source_sha256:
            new.append(pair)
        else:
            why = f"has the pixels of another raw file, the one with SHA-256 {first[:12]}..."
            copies.append(Rejected(case.name, why, pair.source_sha256))
    return again, new, copies


def _wanted_names(export: Export, cases: Sequence[Case]) -> dict[str, str | None]:
    return {case.raw.sha256: export.stem(case.raw) for case in cases}
