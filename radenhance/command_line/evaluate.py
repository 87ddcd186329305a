"""`radenhance evaluate`: what a network is worth on a dataset, beside what needs none."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from radenhance.checkpoint import note_setting
from radenhance.command_line.arguments import named_checkpoint
from radenhance.command_line.evaluation_table import report
from radenhance.console import Parser, say
from radenhance.datamodule import FOLD, RadiographDataModule, same_fold
from radenhance.dataset.decoded import ImageSize
from radenhance.dataset.pair import Split
from radenhance.dataset.pairs import PairDataset
from radenhance.dataset.prediction import MIN_SIDE
from radenhance.errors import UsageError
from radenhance.inference.evaluation import (
    NETWORK,
    EvaluateAt,
    Evaluation,
    better_way,
    evaluate,
    num_by_reference,
    ways_to_run,
)
from radenhance.inference.evaluation_files import write_csv, write_json, write_sheet
from radenhance.inference.model import NetworkEnhancer, open_enhancer
from radenhance.prepare.passed_over import listed, refuse_failures

COMPARE = "compare"
"""Value of --at for both ways."""


def main(arguments: Sequence[str]) -> None:
    """Run `radenhance evaluate CHECKPOINT DATASET`.

    Raises:
        RadenhanceError: A checkpoint or the dataset is not there or not right.
        BatchError: Radiographs had to be passed over; all others are measured.
    """
    options = _parser().parse_args(arguments[1:])
    if options.keep and options.at != COMPARE:
        raise UsageError(f"--keep notes which way is better; add --at {COMPARE}")
    paths = [named_checkpoint(name) for name in (options.checkpoint, *options.also)]
    opened = [open_enhancer(path) for path in paths]
    data = _data(options, opened[0])
    dataset = data.whole_images(options.split or _default_split(data))
    evaluation = evaluate(dataset, _networks(opened, options.at), trained_on=_that_train(data))
    if evaluation.cases:
        _write(options, evaluation, dataset, data, opened)
        if options.keep:
            _keep(evaluation, paths)
    else:
        say("\n".join(listed(evaluation.failures)))
    refuse_failures(evaluation.failures, num_done=len(evaluation.cases), done="measured")


def _write(
    options: argparse.Namespace,
    evaluation: Evaluation,
    dataset: PairDataset,
    data: RadiographDataModule,
    opened: Sequence[NetworkEnhancer],
) -> None:
    notes = [*_notes(dataset, data), *_of_other_folds(opened, dataset, data)]
    say(report(evaluation, title=_title(options, evaluation, dataset), notes=notes))
    if options.csv:
        write_csv(options.csv, evaluation)
    if options.json:
        write_json(options.json, evaluation, _asked(options, data, dataset, notes))
    if options.sheet:
        write_sheet(options.sheet, evaluation, dataset)
        say(f"Picture (best, median and worst: raw | target | network): {options.sheet.resolve()}")


def _parser() -> Parser:
    parser = Parser(
        prog="radenhance evaluate",
        description="Measure a network on whole radiographs of a dataset, beside the raw images, "
        "one tone curve, CLAHE, and the reference enhancer where it did not make the targets.",
        epilog="example: radenhance evaluate best my_radiographs --json evaluation.json",
    )
    add = parser.add_argument
    add("checkpoint", help="a checkpoint, or last or best of the newest run")
    add("dataset", type=Path, help="folder of the dataset")
    add(
        "--split",
        choices=get_args(Split),
        help="split to measure; by default test where it has pairs, else val",
    )
    add(
        "--size",
        type=_size,
        default="native",
        metavar="PIXELS",
        help="shorter side of the images that are measured; native for those of the files (native)",
    )
    add(
        "--at",
        choices=[*get_args(get_args(EvaluateAt)[0]), COMPARE],
        default="auto",
        help="size at which the network sees them: native; training, where its correction is "
        "enlarged and added to all pixels; auto, which is training for radiographs of more than "
        "1.5 times that size; or compare, for both ways and which is better (auto)",
    )
    add(
        "--also",
        action="append",
        default=[],
        metavar="CHECKPOINT",
        help="a further network to measure; may be repeated",
    )
    add("--csv", type=Path, metavar="FILE", help="write a line per radiograph and method")
    add("--json", type=Path, metavar="FILE", help="write all figures, versions and hashes")
    add("--sheet", type=Path, metavar="FILE", help="draw the best, the median and the worst")
    add(
        "--keep",
        action="store_true",
        help="note in the checkpoint which way is better, for all that later leaves --at at auto",
    )
    add("--log-names", action="store_true", help="name files, not numbers of cases")
    return parser


def _size(text: str) -> ImageSize:
    if text == "native":
        return "native"
    if not text.isdecimal() or int(text) < MIN_SIDE:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size, expected native or a number of pixels from {MIN_SIDE}"
        )
    return int(text)


def _networks(opened: Sequence[NetworkEnhancer], at: EvaluateAt) -> dict[str, NetworkEnhancer]:
    networks: dict[str, NetworkEnhancer] = {}
    for number, network in enumerate(opened, 1):
        networks |= ways_to_run(network, _name(number), at)
    return networks


def _name(number: int) -> str:
    return NETWORK if number == 1 else f"{NETWORK} {number}"


def _keep(evaluation: Evaluation, paths: Sequence[Path]) -> None:
    for number, path in enumerate(paths, 1):
        at = better_way(evaluation, _name(number))
        if at == "auto":
            say(f"{path} stays as it is: which way is better is not shown.")
        else:
            note_setting(path, "data.predict_at", at)
            say(f"{path} notes {at}, which auto is from now on. Its SHA-256 is another one now.")


def _data(options: argparse.Namespace, network: NetworkEnhancer) -> RadiographDataModule:
    """Return the dataset with the raw images as the network sees them, shut as its targets are."""
    data = RadiographDataModule(
        options.dataset,
        image_size=options.size,
        intensity_range=network.input["intensity_range"],
        num_workers=0,
        cache=options.size != "native",  # these take as much room as the dataset, for one look
        log_names=options.log_names,
        **same_fold(options.dataset, network.fold),
    )
    data.setup("evaluate")
    return data


def _default_split(data: RadiographDataModule) -> Split:
    return "test" if _num_pairs(data, "test") else "val"


def _that_train(data: RadiographDataModule) -> PairDataset | None:
    return data.whole_images("train") if _num_pairs(data, "train") else None


def _num_pairs(data: RadiographDataModule, split: Split) -> int:
    return sum(pair.split == split for pair in data.pairs)


def _title(options: argparse.Namespace, evaluation: Evaluation, dataset: PairDataset) -> str:
    patients = {case.patient for case in evaluation.cases}
    size = "native size" if options.size == "native" else f"{options.size} px"
    radiographs = _count(len(evaluation.cases), "radiograph")
    return (
        f"{dataset.pairs[0].split} of {options.dataset}: {radiographs} of "
        f"{_count(len(patients), 'patient')}, whole, {size}"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _notes(dataset: PairDataset, data: RadiographDataModule) -> Iterator[str]:
    made = num_by_reference(dataset.pairs)
    if made:
        yield (f"The reference enhancer has no line: it made {made} of the {len(dataset)} targets.")
    if not _num_pairs(data, "train"):
        yield "No pair trains, to fit a lookup table to: a fixed tone curve takes its place."
    if dataset.black_outside:
        yield "What is outside the exposed field is black in all images, as in the targets."
    split = dataset.pairs[0].split
    if split == "train":
        yield "The lookup table is fitted to these radiographs; the network may be, too."
    if split == "val":
        yield "These radiographs may have chosen which epoch is best.ckpt; a test split did not."


def _of_other_folds(
    opened: Sequence[NetworkEnhancer], dataset: PairDataset, data: RadiographDataModule
) -> Iterator[str]:
    if dataset.pairs[0].split == "test":
        return
    for number, network in enumerate(opened, 1):
        if network.fold is not None and network.fold != data.state_dict().get(FOLD):
            yield f"The {_name(number)} is of another fold, and may have trained on these."


def _asked(
    options: argparse.Namespace,
    data: RadiographDataModule,
    dataset: PairDataset,
    notes: Sequence[str],
) -> dict[str, Any]:
    """Return what was asked for, without names of the user unless they are wanted."""
    asked: dict[str, Any] = {
        "split": dataset.pairs[0].split,
        "size": options.size,
        "at": options.at,
        "outside_field": data.outside_field,
        **data.state_dict(),  # a hash of the dataset
        "notes": notes,
    }
    if options.log_names:
        asked |= {
            "checkpoint": options.checkpoint,
            "also": options.also,
            "dataset": str(options.dataset),
        }
    return asked
