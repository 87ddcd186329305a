"""`radenhance package`: a checkpoint as something to hand on, and a check of what was received."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from radenhance.checkpoint import Checkpoint
from radenhance.command_line.arguments import named_checkpoint
from radenhance.console import Parser, say
from radenhance.inference.card import UNSTATED, Maker
from radenhance.inference.package import check_package, default_name, make_package
from radenhance.package_file import WEIGHTS


def main(arguments: Sequence[str]) -> None:
    """Run `radenhance package`."""
    parser = _parser()
    options = parser.parse_args(arguments[1:])
    if (options.check is None) == (options.out is None):
        parser.error("give CHECKPOINT and OUT, or --check PACKAGE")
    if options.check is not None:
        _check(options.check)
    else:
        _make(options)


def _make(options: argparse.Namespace) -> None:
    checkpoint = named_checkpoint(options.checkpoint)
    maker = Maker(
        name=options.name or default_name(Checkpoint.open(checkpoint)),
        version=options.model_version,
        authors=options.authors,
        copyright=options.copyright,
        data_source=options.data_source,
    )
    section = make_package(checkpoint, options.out, maker=maker, dataset=options.dataset)
    measures = section["measures"]
    if measures is not None:
        whole = measures["all"]
        say(
            f"{whole['num_images']} radiographs of split {measures['split']}: MS-SSIM with the "
            f"target {whole['ms_ssim']['raw']:.4f} raw, {whole['ms_ssim']['enhanced']:.4f} enhanced"
        )
    say(
        f"{options.out}: the same network as the checkpoint, bit for bit "
        f"({WEIGHTS} has SHA-256 {section['weights_sha256']}). Tell the receiver this number, and "
        f"to run: radenhance package --check {options.out.name}"
    )


def _check(path: Path) -> None:
    difference, is_equal = check_package(path)
    how = "bit for bit" if is_equal else f"but for {difference:.1g} of the range"
    say(f"{path}: whole, and gives on this machine what it gave where it was made, {how}")


def _parser() -> Parser:
    parser = Parser(
        prog="radenhance package",
        description="Make of a checkpoint a model to hand on: a folder, or an archive if OUT ends "
        "in .zip, with weights, a description for programs (MONAI's bundles) and one for people, "
        "without optimizer, paths and names. Every command takes it as a checkpoint.",
        epilog="example: radenhance package best my_model.zip --dataset my_radiographs",
    )
    add = parser.add_argument
    add(
        "checkpoint",
        nargs="?",
        metavar="CHECKPOINT",
        help="a checkpoint, or last or best of the newest run",
    )
    add("out", nargs="?", type=Path, metavar="OUT", help="folder or .zip to make")
    add(
        "--check",
        type=Path,
        metavar="PACKAGE",
        help="instead: open a package with all checks, and see that it gives on this machine what "
        "it gave where it was made",
    )
    add(
        "--dataset",
        type=Path,
        metavar="ROOT",
        help="dataset whose radiographs are counted by species, and those of split test, or val, "
        "measured beside the raw images, for the description",
    )
    add("--name", help="name of the model (radenhance, encoder and size)")
    add("--model-version", default="1.0.0", metavar="VERSION", help="version of the model (1.0.0)")
    for flag, what in (
        ("--authors", "who made it"),
        ("--copyright", "whose it is"),
        ("--data-source", "where its training data is from"),
    ):
        add(flag, default=UNSTATED, metavar="TEXT", help=f"{what}, as others may read ({UNSTATED})")
    return parser
