"""`radenhance enhance`: radiographs in, enhanced radiographs out."""

import argparse
import math
import time
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import get_args

from radenhance.command_line.arguments import named_checkpoint
from radenhance.compat.glibc import keep_heap_small
from radenhance.console import Parser, say
from radenhance.dataset.prediction import PredictAt
from radenhance.dicom.declaration import Declaration
from radenhance.errors import UsageError
from radenhance.inference.batch import Batch, Settings, check_all_done, summary, write_report
from radenhance.inference.ensemble import Ensemble
from radenhance.inference.guard.guard import Guard
from radenhance.inference.journal import Record
from radenhance.inference.model import Enhancer, NetworkEnhancer, ReferenceEnhancer, open_enhancer
from radenhance.inference.outputs import BURNED_IN, Format, Output
from radenhance.inference.preset_sheet import MOST_IMAGES, write_preset_sheet
from radenhance.inference.sources import files_of, look_at
from radenhance.inference.watch import Stop, Watch
from radenhance.package_file import is_package
from radenhance.prepare.identity import unwarned
from radenhance.prepare.source import FoundFile
from radenhance.reference_enhancer.presets import AUTO, PRESETS
from radenhance.runs import NAMES

CHECKPOINT_SUFFIX = ".ckpt"
SHEET = "presets.png"


def main(arguments: Sequence[str]) -> None:
    """Run `radenhance enhance [CHECKPOINT] INPUT... --out DIR`.

    Raises:
        UsageError: An input or a flag is not as it must be.
        BatchError: Some radiographs could not be enhanced.
    """
    options = _parser().parse_intermixed_args(arguments[1:])
    keep_heap_small()
    checkpoints, inputs = _checkpoints_and_inputs(options.inputs)
    files = files_of(inputs, leave_out=options.out)
    enhancer = enhancer_of(checkpoints, options)
    settings = Settings(
        enhancer,
        Output(options.format, options.bits, options.deidentify),
        Declaration(options.bone, options.declared_bits, options.relationship),
        options.disagreement,
        _guard(options, enhancer),
        options.refuse,
    )
    if options.compare:
        if checkpoints:
            raise UsageError("--compare is of the reference enhancer, which takes no CHECKPOINT")
        compare(files, options.out)
        return
    batch = Batch(options.out, settings, resume=options.resume)
    begin = time.monotonic()
    watched = options.watch is not None
    records = _watched(batch, inputs, options.watch) if watched else batch.run(files)
    if options.report is not None:
        write_report(options.report, batch.report(time.monotonic() - begin))
    say(summary(batch, records))
    if options.deidentify:
        say(BURNED_IN)
    check_all_done(batch, records, may_be_none=watched)


def _guard(options: argparse.Namespace, enhancer: Enhancer) -> Guard | None:
    if options.guard is None:
        if options.refuse:
            raise UsageError("--refuse needs --guard FILE, which says what to refuse")
        return None
    if not isinstance(enhancer, NetworkEnhancer):
        return Guard.open(options.guard)
    return Guard.open(options.guard, checkpoint_sha256=enhancer.sha256, at=enhancer.at)


def _watched(batch: Batch, inputs: Sequence[Path], seconds: float) -> list[Record]:
    def look() -> list[FoundFile]:
        # a share may be gone for a while
        return files_of([path for path in inputs if path.exists()], leave_out=batch.out)

    with Stop() as stop:
        Watch(batch, look, stop).run(seconds)
    return list(batch.records.values())


def _seconds(word: str) -> float:
    try:
        seconds = float(word)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(
            f"got {word}, expected seconds, such as 10; name files and folders before --watch"
        )
    return seconds


def compare(files: Sequence[FoundFile], out: Path) -> None:
    """Draw the presets side by side, and write nothing else."""
    out.mkdir(parents=True, exist_ok=True)
    with unwarned():
        shown = write_preset_sheet(out / SHEET, [look_at(file) for file in files])
    say(f"{out / SHEET} shows the presets on {shown} images; choose one with --preset NAME")


def _checkpoints_and_inputs(words: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """Return the checkpoints that the first words name, and the inputs after them."""
    names = list(takewhile(_is_checkpoint, words))
    inputs = [Path(word) for word in words[len(names) :]]
    if not inputs:
        raise UsageError(f"{words[-1]} is a checkpoint; name radiographs or their folder after it")
    return [named_checkpoint(name) for name in names], inputs


def _is_checkpoint(word: str) -> bool:
    return word in NAMES or word.endswith(CHECKPOINT_SUFFIX) or is_package(Path(word))


def enhancer_of(checkpoints: Sequence[Path], options: argparse.Namespace) -> Enhancer:
    """Return what enhances, as the flags of `add_flags_of_enhancer` say.

    Args:
        checkpoints: A network, or several whose mean is taken; none for the reference enhancer.
        options: The flags.

    Raises:
        UsageError: The checkpoint cannot be used, or flags do not go together.
    """
    if not checkpoints:
        if options.at != "auto" or options.symmetric:
            raise UsageError("--at and --symmetric are of a network; name its CHECKPOINT first")
        return ReferenceEnhancer(options.preset or AUTO)
    if options.preset is not None:
        raise UsageError("--preset is of the reference enhancer, which takes no CHECKPOINT")
    networks = [
        open_enhancer(path, at=options.at, device=options.device, symmetric=options.symmetric)
        for path in checkpoints
    ]
    return networks[0] if len(networks) == 1 else Ensemble(networks)


def _parser() -> Parser:
    parser = Parser(
        prog="radenhance enhance",
        description="Enhance raw radiographs: DICOM in, derived DICOM out, at the rows and columns "
        "of the source. Other files that lie among them are listed and left alone, and no file "
        "that radenhance did not write is ever replaced.",
        epilog="example: radenhance enhance best export/ --out enhanced --report run.json",
    )
    add = parser.add_argument
    add(
        "inputs",
        nargs="+",
        metavar="[CHECKPOINT...] INPUT",
        help="a checkpoint (FILE.ckpt, a model package, or last or best of the newest run; of "
        "several the mean; without one the reference enhancer), then files and folders, searched "
        "with all below them",
    )
    add("--out", type=Path, required=True, metavar="DIR", help="folder of the enhanced images")
    add(
        "--continue",
        dest="resume",
        action="store_true",
        help="go on where an earlier run into DIR stopped; files that failed are tried again",
    )
    add(
        "--disagreement",
        action="store_true",
        help="write a second image, NAME.disagreement.png: the standard deviation of the pixels "
        "over several networks, on the scale of the pixels",
    )
    add(
        "--guard",
        type=Path,
        metavar="FILE",
        help="compare each output with its source, and note the verdict in list, report and "
        "Derivation Description; FILE is what `radenhance guard` wrote for the checkpoint",
    )
    add(
        "--refuse",
        action="store_true",
        help="write no output in which the guard finds an invented or an erased structure",
    )
    add("--report", type=Path, metavar="FILE", help="write what became of each file, as JSON")
    add(
        "--watch",
        nargs="?",
        type=_seconds,
        const=10.0,
        metavar="SECONDS",
        help="go on looking for new files, after so many seconds each time (10), until Ctrl-C or "
        "SIGTERM; a file is taken when it did not change between two looks",
    )
    add_flags_of_enhancer(parser)
    _add_flags_of_files(parser)
    return parser


def add_flags_of_enhancer(parser: Parser) -> None:
    """Add the flags that say what enhances, and what of the source its images keep."""
    add = parser.add_argument
    add(
        "--preset",
        choices=(AUTO, *PRESETS),
        help="preset of the reference enhancer; by default by species and body part",
    )
    add(
        "--at",
        choices=get_args(PredictAt),
        default="auto",
        help="size at which a network sees a radiograph: native; training, where its correction is "
        "enlarged and added to all pixels of the source; or auto, which is training for "
        "radiographs of more than 1.5 times that size (auto)",
    )
    add(
        "--compare",
        action="store_true",
        help=f"draw all presets side by side, whole and pixel by pixel, in DIR/{SHEET}, of at most "
        f"{MOST_IMAGES} radiographs, and write nothing else",
    )
    add(
        "--symmetric",
        action="store_true",
        help="take the mean over mirrored and turned images, in eight times the time",
    )
    add("--device", help="where a network runs: cpu, cuda or cuda:1 (a GPU, if there is one)")
    add(
        "--bits",
        type=int,
        help="bits per pixel, 8 to 16 (those of the source in DICOM, else 16)",
    )
    add(
        "--deidentify",
        action="store_true",
        help="leave names, numbers, dates, free text and private elements out of derived DICOM, "
        "and replace UIDs; text that is burned into pixels stays",
    )


def _add_flags_of_files(parser: Parser) -> None:
    add = parser.add_argument
    add(
        "--format",
        choices=get_args(Format),
        default="auto",
        help="kind of the enhanced images; auto is DICOM where the source is, else PNG (auto)",
    )
    add("--bone", choices=("bright", "dark"), help="bone in files that are not DICOM (bright)")
    add("--declared-bits", type=int, help="bits of files that are not DICOM (of their container)")
    add(
        "--relationship",
        choices=("LIN", "LOG"),
        help="whether values of files that do not say so are linear in the X-ray intensity (LOG)",
    )
