"""`radenhance plan`: will it fit?"""

import argparse
import json
import re
from collections.abc import Sequence
from functools import partial

import torch
from tqdm import tqdm

from radenhance.console import Parser, hush_libraries, say
from radenhance.errors import UsageError
from radenhance.planning.advice import FOR_TWO_DEVICES, plan_of
from radenhance.planning.calibration import calibrate, calibrated
from radenhance.planning.fit_command import fit_command
from radenhance.planning.pipeline import PipelinePlan, strategy_of
from radenhance.planning.planned_run import PlanError, PlannedRun, Size
from radenhance.planning.report import PAPER_NETWORK_GBIT, Answer, as_dict, as_text
from radenhance.planning.search import Shown, candidates, largest_side
from radenhance.planning.traffic import MIDDLE_CARD
from radenhance.units import bytes_of


def main(arguments: Sequence[str]) -> None:
    """Run `radenhance plan`."""
    options, flags = _parser().parse_known_args(list(arguments[1:]))
    hush_libraries()
    speed = calibrate(_shown("recipe", "Measuring")) if options.calibrate else calibrated()
    run = PlannedRun(flags, speed or MIDDLE_CARD)
    limit = options.gpu_memory or card_bytes()
    if strategy_of(run) is not None and (options.search or options.max_size):
        raise UsageError(
            "--search and --max-size plan one device; leave them out, or leave out the strategy "
            "encoder_decoder (--trainer.num_nodes 1 --trainer.strategy auto)"
        )
    if options.max_size:
        _say_largest(run, limit, in_json=options.json)
        return
    answers: list[Answer] = []
    refused: dict[Size, str] = {}
    for size in options.sizes or [run.image_size]:
        try:
            found = candidates(run, size, _shown("recipe")) if options.search else []
            answer = Answer(
                size,
                plan_of(run, size),
                limit,
                found,
                options.network_gbit,
                device=run.speed.device,
                num_steps=run.num_steps if run.speed.device else None,
            )
            answers.append(answer)
        except PlanError as error:
            refused[size] = str(error)
    if options.json:
        lines = [{"size": size, "error": message} for size, message in refused.items()]
        plans = [as_dict(answer) | {"command": fit_command(run, answer)} for answer in answers]
        say(json.dumps([*plans, *lines], indent=2))
    elif answers:
        say("\n\n".join(_said(run, answer) for answer in answers))
    if refused:
        raise PlanError("\n".join(refused.values()))


def _said(run: PlannedRun, answer: Answer) -> str:
    command = fit_command(run, answer)
    if command is not None:
        last = f"to train it:\n  {command}"
    elif isinstance(answer.plan, PipelinePlan):
        last = FOR_TWO_DEVICES
    elif answer.found:
        last = "no recipe makes it fit; --max-size says how large images may be"
    else:
        last = "add --search to see which techniques make it fit"
    return f"{as_text(answer, run.title)}\n\n{last}"


def _shown(unit: str, doing: str = "Planning") -> Shown:
    return partial(tqdm, desc=doing, unit=unit, leave=False)


def _memory(text: str) -> int:
    try:
        return bytes_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def card_bytes() -> int | None:
    """Return the memory of the smallest CUDA device here, None without one."""
    cards = range(torch.cuda.device_count())
    totals = [torch.cuda.get_device_properties(card).total_memory for card in cards]
    return min(totals, default=None)


def _say_largest(run: PlannedRun, limit: int | None, *, in_json: bool) -> None:
    if limit is None:
        raise UsageError("--max-size has no GPU to look at here; add --gpu-memory, such as 8GB")
    side = largest_side(run, limit, _shown("size"))
    if in_json:
        say(json.dumps({"largest_side": side, "limit_bytes": limit}, indent=2))
    elif side:
        say(f"{run.title}: up to {side} x {side} px fit")
    else:
        say(f"{run.title}: no size fits; --search lists what needs less")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="radenhance plan",
        description="Say how much GPU memory a training step needs, before there is a GPU or an "
        "image. Takes all flags and recipes of `radenhance fit` as well.",
        epilog="example: radenhance plan --config amp_chkp.yaml --sizes 2048 --gpu-memory 8GB",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--sizes",
        type=_sizes,
        default=[],
        metavar="N,NxN",
        help="sides of square training images in pixels, or rows x columns, such as 2048,3000x4000;"
        " those of the run when left out",
    )
    parser.add_argument(
        "--gpu-memory",
        type=_memory,
        metavar="8GB",
        help="of the card; that of the smallest card here when left out",
    )
    parser.add_argument(
        "--network-gbit",
        type=float,
        default=PAPER_NETWORK_GBIT,
        metavar="GBIT/S",
        help="between two nodes, for the time that a step sends "
        f"({PAPER_NETWORK_GBIT:g}, the paper's)",
    )
    parser.add_argument(
        "--search",
        action="store_true",
        help="plan every recipe's techniques on this run, the quickest first",
    )
    parser.add_argument(
        "--max-size", action="store_true", help="say the largest square image that fits"
    )
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="measure this machine in about a minute, so that plans here tell time in seconds, now "
        "and later",
    )
    parser.add_argument("--json", action="store_true", help="write JSON, sizes in bytes")
    return parser


def _sizes(text: str) -> list[Size]:
    sizes = [re.fullmatch(r"(\d+)(?:x(\d+))?", size.lower()) for size in text.split(",")]
    if not all(sizes):
        raise argparse.ArgumentTypeError(
            f"{text!r} are no sizes in pixels; write 1024,2048 or rows x columns, 3000x4000"
        )
    return [(int(size[1]), int(size[2] or size[1])) for size in sizes if size is not None]
