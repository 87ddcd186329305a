"""Claim: what each choice of training does to the validation loss, over several seeds.

    python benchmarks/training.py
    python benchmarks/training.py OUT --side 128 --epochs 10 --seeds 0,1,2

The base is `quickstart.yaml` (ResNet-18, a correction, black outside the field, MS-SSIM and 0.16 of
absolute error, batches of 4, a learning rate of 0.002 that falls along half a cosine), on small
synthetic radiographs. Every other row changes one thing. Runs of a seed share their first weights
and the order of their images, so that the difference is of pairs; with it comes its interval of
95 %. Less than 0 is better. In OUT stay the runs, which are not made again. The first command shows
only that it runs, in about two minutes on two cores; the second takes about 40 on one.
"""

import argparse
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path

import harness

from radenhance import metric_names
from radenhance.prepare.synthesize import synthesize
from radenhance.reproduce.comparison import Comparison
from radenhance.reproduce.logs import last, scalars
from radenhance.runs import newest_checkpoint

BASE, EARLIER = "base", "at half the size"
AVERAGED = "lightning.pytorch.callbacks.EMAWeightAveraging"
CHANGES: dict[str, dict[str, object]] = {
    BASE: {},
    "warm-up of 36 steps": {"--model.warmup_steps": 36},
    "average of weights, decay 0.95": {
        "--trainer.callbacks": AVERAGED,
        "--trainer.callbacks.decay": 0.95,
    },
    "no change of exposure": {"--data.exposure_jitter": 0},
    "from weights at half the size": {"--model.weights": EARLIER},
    "the same, encoder frozen for 2 epochs": {
        "--model.weights": EARLIER,
        "--model.frozen_encoder_epochs": 2,
    },
    "batches of 2": {"--data.batch_size": 2},
    "batches of 2, accumulated to 4": {
        "--data.batch_size": 2,
        "--trainer.accumulate_grad_batches": 2,
    },
}
"""Name -> flags that differ from the base's."""

MEASURES = (metric_names.LOSS, metric_names.MS_SSIM, metric_names.PSNR)


def run(name: str, seed: int, root: Path, options: argparse.Namespace) -> dict[str, float]:
    """Run a fit, unless it is done, and return its measures on the validation set at its end."""
    folder = options.out / f"{name.replace(' ', '_')}-seed{seed}"
    if not (folder / "done").exists():
        harness.fit(_flags(name, seed, root, options), folder)
        (folder / "done").touch()
    logged = scalars(folder)
    return {measure: last(logged[f"{metric_names.VAL}/{measure}"]) for measure in MEASURES}


def _flags(name: str, seed: int, root: Path, options: argparse.Namespace) -> Mapping[str, object]:
    changes = dict(CHANGES.get(name, {}))
    side = options.side
    if name == EARLIER:
        side //= 2
    elif changes.get("--model.weights") == EARLIER:
        run(EARLIER, seed, root, options)
        folder = options.out / f"{EARLIER.replace(' ', '_')}-seed{seed}"
        changes["--model.weights"] = newest_checkpoint("last", folder)
    return {
        "--config": "quickstart.yaml",
        "--seed_everything": seed,
        "--data.root": root.resolve(),
        "--data.num_workers": 0,
        "--data.image_size": side,
        "--model.num_scales": "auto",
        "--trainer.max_epochs": options.epochs,
        "--trainer.enable_model_summary": "false",
        **changes,
    }


def main() -> None:
    options = parser().parse_args()
    harness.print_heading()
    with tempfile.TemporaryDirectory() as temporary:
        options.out = options.out or Path(temporary)
        root = options.out / "radiographs"
        if not root.exists():
            counts = {"cat": options.animals // 2, "dog": options.animals // 2, "turtle": 0}
            synthesize(root, counts=counts, spacing_mm=0.6)
        names = harness.chosen(options.changes, tuple(CHANGES))
        with harness.table("change", *MEASURES, "difference of the loss", names=names) as row:
            base = {}
            for name in dict.fromkeys((BASE, *names)):
                found = {seed: run(name, seed, root, options) for seed in options.seeds}
                loss = {seed: measures[metric_names.LOSS] for seed, measures in found.items()}
                base = base or loss
                means = [statistics.mean(one[key] for one in found.values()) for key in MEASURES]
                compared = "" if name == BASE else str(Comparison.of(loss, base))
                row(name, *(f"{mean:.4g}" for mean in means), compared)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the script's flags."""
    flags = harness.parser(__doc__ or "")
    flags.add_argument("out", type=Path, nargs="?", help="folder for radiographs and runs")
    flags.add_argument("--side", type=int, default=64, help="shorter side of the images in pixels")
    flags.add_argument("--epochs", type=int, default=1, help="epochs of each run")
    flags.add_argument(
        "--seeds", type=harness.listed_numbers, default=[0], help="seeds, such as 0,1,2"
    )
    flags.add_argument("--animals", type=int, default=60, help="number of radiographs")
    flags.add_argument("--changes", type=harness.listed, help="rows of the table")
    return flags


if __name__ == "__main__":
    main()
