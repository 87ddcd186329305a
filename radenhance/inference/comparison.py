"""A trained network against the raw images as they are, in numbers and as pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning.pytorch import Trainer

from radenhance import metric_names
from radenhance.callbacks.best_and_worst import BestAndWorst, Shown
from radenhance.checkpoint import Checkpoint
from radenhance.contact_sheet import Row
from radenhance.datamodule import RadiographDataModule, same_fold
from radenhance.enhancer import ContrastEnhancer
from radenhance.prepare.passed_over import (
    Failure,
    PassingLoader,
    PassingOver,
    collate_or_pass,
    failure_of_pair,
    refuse_failures,
)
from radenhance.prepare.real import make_real_pairs

REAL_ROOT = Path("data/real")


@dataclass(frozen=True)
class Comparison:
    """Means over the radiographs of one set.

    Args:
        name: Of the set.
        num_images: Its size.
        identity: MS-SSIM of the raw images as they are and the targets: the baseline to beat.
        enhanced: MS-SSIM of the network's output and the targets.
        failures: Radiographs that were passed over.
    """

    name: str
    num_images: int
    identity: float
    enhanced: float
    failures: Sequence[Failure] = ()


def compare(
    checkpoint: Checkpoint, root: Path, *, log_names: bool = False
) -> tuple[list[Comparison], list[Row]]:
    """Return what a network does on the validation set of a folder and on the real images.

    Args:
        checkpoint: The network.
        root: The dataset folder.
        log_names: Whether the pictures name folder and files.

    Raises:
        RadenhanceError: The checkpoint or the dataset is not there or not right, or no radiograph
            of it can be read.
    """
    if not REAL_ROOT.exists():
        make_real_pairs(REAL_ROOT)
    model = ContrastEnhancer.from_checkpoint(checkpoint)
    comparisons, rows = [], []
    validation = f"validation of {root}" if log_names else "validation"
    for name, folder in ((validation, root), ("real (RG1, RG3)", REAL_ROOT)):
        fold = same_fold(root, checkpoint.fold) if folder is root else {}
        options = checkpoint.input | fold | {"num_workers": 0, "log_names": log_names}
        data = RadiographDataModule(folder, **options)
        extremes = BestAndWorst()
        trainer = Trainer(logger=False, enable_checkpointing=False, callbacks=[extremes])
        data.setup("validate")
        passing = PassingOver(data.whole_images("val"), failure_of_pair)
        loader = PassingLoader(passing, collate_fn=collate_or_pass)
        (measures,) = trainer.validate(model, loader, verbose=False)
        num_images = len(passing) - len(passing.failures)
        if not num_images:
            refuse_failures(passing.failures, num_done=0, done=f"measured of {name}")
        comparisons.append(_comparison(name, num_images, measures, passing.failures))
        rows += [_row(f"{name}, best", extremes.best), _row(f"{name}, worst", extremes.worst)]
    return comparisons, rows


def _comparison(
    name: str, num_images: int, measures: Mapping[str, float], failures: Sequence[Failure]
) -> Comparison:
    identity = measures[f"{metric_names.IDENTITY}/{metric_names.MS_SSIM}"]
    return Comparison(name, num_images, identity, measures[metric_names.VAL_MS_SSIM], failures)


def _row(title: str, shown: Shown | None) -> Row:
    assert shown is not None
    return Row(
        title=f"{title}: {shown.case}, MS-SSIM {shown.ms_ssim:.3f}",
        images=[image.numpy() for image in (shown.raw, shown.enhanced, shown.target)],
        captions=["raw", "enhanced", "target"],
    )
