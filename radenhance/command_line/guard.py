"""`radenhance guard`: what the guard of a checkpoint takes for chance, from validation images."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from radenhance.command_line.arguments import add_checkpoint_and_root
from radenhance.console import Parser, say
from radenhance.dataset.prediction import PredictAt
from radenhance.inference.guard.calibrate import calibrate
from radenhance.inference.guard.guard import Calibration
from radenhance.inference.model import open_enhancer
from radenhance.prepare.passed_over import Failure, listed, refuse_failures
from radenhance.runs import find_checkpoint


def main(arguments: Sequence[str]) -> None:
    """Run `radenhance guard`."""
    parser = Parser(
        prog="radenhance guard",
        description="Calibrate the guard of a checkpoint on the validation radiographs of a "
        "dataset: from which difference on a structure counts as invented or erased, and how wide "
        "the intervals are that cover 90 % of the pixels.",
        epilog="example: radenhance guard --ckpt_path best --root my_radiographs",
    )
    add_checkpoint_and_root(parser, purpose="calibrate")
    parser.add_argument(
        "--output", type=Path, default=Path("guard.json"), help="file to write (guard.json)"
    )
    parser.add_argument(
        "--at",
        choices=get_args(PredictAt),
        default="auto",
        help="size at which the network sees radiographs, as that of `radenhance enhance`, which "
        "takes the calibration for no other (auto)",
    )
    options = parser.parse_args(arguments[1:])
    enhancer = open_enhancer(find_checkpoint(options.ckpt_path, Path()), at=options.at)
    passed_over: list[Failure] = []
    calibration = calibrate(enhancer, options.root, passed_over)
    calibration.write(options.output)
    say("\n".join([report(calibration, options.output), *listed(passed_over)]))
    num_images = sum(calibration.num_images.values())
    refuse_failures(passed_over, num_done=num_images, done="used")


def report(calibration: Calibration, output: Path) -> str:
    """Return what was found, and where it was written."""
    counts = ", ".join(f"{num} {name}" for name, num in calibration.num_images.items())
    scores = ", ".join(f"{score:.1f}" for score in calibration.thresholds)
    factors = ", ".join(f"{name} {value:.2f}" for name, value in calibration.factors.items())
    return (
        f"Validation radiographs: {counts}\n"
        f"A structure counts from scores of {scores}, finest first; intervals are "
        f"{calibration.factor:.2f} times as wide as the image suggests ({factors})\n"
        f"Written: {output}"
    )
