"""A trained network against the raw images, in numbers and as a picture: `radenhance showcase`."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning.pytorch import Trainer

from radenhance import metric_names
from radenhance.callbacks.best_and_worst import BestAndWorst, Shown
from radenhance.command_line.fit import flags_of
from radenhance.console import say
from radenhance.contact_sheet import Row, write_contact_sheet
from radenhance.datamodule import DEFAULT_ROOT, RadiographDataModule
from radenhance.enhancer import ContrastEnhancer
from radenhance.memory.techniques import MemoryTechniques
from radenhance.prepare.real import make_real_pairs
from radenhance.runs import find_checkpoint

REAL_ROOT = Path("data/real")


@dataclass(frozen=True)
class Comparison:
    """Means over the radiographs of one set.

    Args:
        name: Of the set.
        num_images: Its size.
        identity: MS-SSIM of the raw images as they are and the targets: the baseline to beat.
        enhanced: MS-SSIM of the network's output and the targets.
    """

    name: str
    num_images: int
    identity: float
    enhanced: float


def main(arguments: Sequence[str]) -> None:
    """Run `radenhance showcase`."""
    parser = argparse.ArgumentParser(
        prog="radenhance showcase",
        description="Measure a checkpoint on the validation radiographs and on two real ones, "
        "beside the raw images as they are, and draw the best, the worst and the real ones.",
    )
    parser.add_argument(
        "--ckpt_path", default="best", help="a checkpoint, or last or best of the newest run (best)"
    )
    parser.add_argument(
        "--root", type=Path, default=DEFAULT_ROOT, help=f"dataset to validate on ({DEFAULT_ROOT})"
    )
    parser.add_argument(
        "--sheet", type=Path, default=Path("contact_sheet.png"), help="picture to write"
    )
    options = parser.parse_args(arguments[1:])
    checkpoint = find_checkpoint(options.ckpt_path, Path())
    comparisons, rows = compare(checkpoint, options.root)
    write_contact_sheet(options.sheet, rows)
    say(report(comparisons))
    say(f"\nPicture (raw | enhanced | target): {options.sheet.resolve()}")
    say("Curves: run `radenhance dashboard` and open the address that it prints.")


def compare(checkpoint: Path, root: Path) -> tuple[list[Comparison], list[Row]]:
    """Return what a network does on the validation set of `root` and on the real images.

    Raises:
        RadenhanceError: The checkpoint or the dataset is not there or not right.
    """
    flags = flags_of(checkpoint)
    if not REAL_ROOT.exists():
        make_real_pairs(REAL_ROOT)
    model = trained(checkpoint)
    comparisons, rows = [], []
    for name, folder in ((f"validation of {root}", root), ("real (RG1, RG3)", REAL_ROOT)):
        data = RadiographDataModule(
            root=folder,
            image_size=flags["data.image_size"],
            intensity_range=flags["data.intensity_range"],
            num_workers=0,
        )
        extremes = BestAndWorst()
        trainer = Trainer(logger=False, enable_checkpointing=False, callbacks=[extremes])
        (measures,) = trainer.validate(model, data, verbose=False)
        num_images = sum(pair.split == "val" for pair in data.pairs)
        comparisons.append(_comparison(name, num_images, measures))
        rows += [_row(f"{name}, best", extremes.best), _row(f"{name}, worst", extremes.worst)]
    return comparisons, rows


def trained(checkpoint: Path) -> ContrastEnhancer:
    """Return the network of a checkpoint on the CPU, with the techniques that are part of it.

    Raises:
        UsageError: The file is not a checkpoint of ours.
    """
    flags = flags_of(checkpoint)
    memory = MemoryTechniques(
        momentum=flags["model.memory.momentum"], quantization=flags["model.memory.quantization"]
    )
    return ContrastEnhancer.load_from_checkpoint(checkpoint, map_location="cpu", memory=memory)


def report(comparisons: Sequence[Comparison]) -> str:
    """Return the comparisons as a table, and what they say in a sentence."""
    lines = [f"{'MS-SSIM with the target':<32}{'images':>8}{'raw as it is':>16}{'enhanced':>12}"]
    lines += [
        f"{c.name:<32}{c.num_images:>8}{c.identity:>16.4f}{c.enhanced:>12.4f}" for c in comparisons
    ]
    first = comparisons[0]
    verdict = "beats" if first.enhanced > first.identity else "does not beat"
    return "\n".join([*lines, "", f"On {first.name} the network {verdict} the raw images."])


def _comparison(name: str, num_images: int, measures: Mapping[str, float]) -> Comparison:
    identity = measures[f"{metric_names.IDENTITY}/{metric_names.MS_SSIM}"]
    return Comparison(name, num_images, identity, measures[metric_names.VAL_MS_SSIM])


def _row(title: str, shown: Shown | None) -> Row:
    assert shown is not None
    return Row(
        title=f"{title}: {shown.case}, MS-SSIM {shown.ms_ssim:.3f}",
        images=[image.numpy() for image in (shown.raw, shown.enhanced, shown.target)],
        captions=["raw", "enhanced", "target"],
    )
