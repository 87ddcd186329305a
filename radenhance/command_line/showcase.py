"""`radenhance showcase`: what a checkpoint is worth, in numbers and as a picture."""

from collections.abc import Sequence
from pathlib import Path

from radenhance.checkpoint import Checkpoint
from radenhance.command_line.arguments import add_checkpoint_and_root
from radenhance.console import Parser, say
from radenhance.contact_sheet import write_contact_sheet
from radenhance.inference.comparison import Comparison, compare
from radenhance.prepare.passed_over import listed, refuse_failures
from radenhance.runs import find_checkpoint


def main(arguments: Sequence[str]) -> None:
    """Run `radenhance showcase`.

    Raises:
        RadenhanceError: The checkpoint or the dataset is not there or not right.
        BatchError: Radiographs had to be passed over; all others are measured.
    """
    parser = Parser(
        prog="radenhance showcase",
        description="Measure a checkpoint on the validation radiographs and on two real ones, "
        "beside the raw images as they are, and draw the best, the worst and the real ones.",
        epilog="example: radenhance showcase --ckpt_path best --root my_radiographs",
    )
    add_checkpoint_and_root(parser, purpose="validate")
    parser.add_argument(
        "--sheet", type=Path, default=Path("contact_sheet.png"), help="picture to write"
    )
    parser.add_argument(
        "--log-names", action="store_true", help="name folder and files, not numbers of cases"
    )
    options = parser.parse_args(arguments[1:])
    checkpoint = Checkpoint.open(find_checkpoint(options.ckpt_path, Path()))
    comparisons, rows = compare(checkpoint, options.root, log_names=options.log_names)
    write_contact_sheet(options.sheet, rows)
    say(report(comparisons))
    say(f"\nPicture (raw | enhanced | target): {options.sheet.resolve()}")
    say("Curves: run `radenhance dashboard` and open the address that it prints.")
    failures = [failure for comparison in comparisons for failure in comparison.failures]
    num_done = sum(comparison.num_images for comparison in comparisons)
    refuse_failures(failures, num_done=num_done, done="measured")


def report(comparisons: Sequence[Comparison]) -> str:
    """Return the comparisons as a table, and what they say in a sentence."""
    lines = [f"{'MS-SSIM with the target':<32}{'images':>8}{'raw as it is':>16}{'enhanced':>12}"]
    lines += [
        f"{c.name:<32}{c.num_images:>8}{c.identity:>16.4f}{c.enhanced:>12.4f}" for c in comparisons
    ]
    first = comparisons[0]
    verdict = "beats" if first.enhanced > first.identity else "does not beat"
    lines += ["", f"On {first.name} the network {verdict} the raw images."]
    return "\n".join([*lines, *listed([failure for c in comparisons for failure in c.failures])])
