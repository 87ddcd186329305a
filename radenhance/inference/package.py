"""A checkpoint as a package to hand on, with what it reaches and the proof that it is the same.

A package that does not give what its checkpoint gives is worse than none: it is opened again, as
its receiver will, and compared, before it takes its place.
"""

import hashlib
import json
import math
import os
import zipfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from safetensors.torch import save

from radenhance import metric_names
from radenhance.checkpoint import STATE, Checkpoint
from radenhance.datamodule import RadiographDataModule, same_fold
from radenhance.dataset.pair import Pair
from radenhance.dataset.species import SPECIES
from radenhance.enhancer import ContrastEnhancer, measure
from radenhance.errors import RadenhanceError, UsageError
from radenhance.files import new_part
from radenhance.inference.card import OF, UNITS, Maker, card, input_of, metadata
from radenhance.inference.probe import TOLERANCE, ProbeOutput, probed
from radenhance.package_file import CARD, METADATA, WEIGHTS, model_sha256, read_package

ARCHIVE = ".zip"
EPOCH = (1980, 1, 1, 0, 0, 0)
"""Time of the files in an archive: the earliest that it can hold."""

MEASURES = {
    "ms_ssim": metric_names.MS_SSIM,
    "ssim": metric_names.SSIM,
    "psnr_db": metric_names.PSNR,
    "mae": metric_names.MAE,
}
"""Measure, as the JSON has it -> as `enhancer.measure` has it."""


def make_package(
    checkpoint: Path, output: Path, *, maker: Maker | None = None, dataset: Path | None = None
) -> dict[str, Any]:
    """Write a package and return our section of its metadata.

    Args:
        checkpoint: The checkpoint.
        output: The folder to make; an archive if it ends in .zip.
        maker: What the maker says of the model.
        dataset: Folder whose radiographs the model is measured on.

    Raises:
        RadenhanceError: The checkpoint or the dataset is not right, or `output` exists already.
    """
    if os.path.lexists(output):
        raise UsageError(f"{output} exists already; remove it, or choose another name")
    opened = Checkpoint.open(checkpoint)
    weights = save({name: one.clone().contiguous() for name, one in opened.content[STATE].items()})
    section = {
        **opened.packed(),
        "input": input_of(opened.flags),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "checkpoint_sha256": model_sha256(checkpoint),
        **_measured(opened, dataset),
        "checks": _checks(opened),
    }
    maker = maker or Maker(default_name(opened))
    texts = {METADATA: _as_json(metadata(maker, section)), CARD: card(maker, section)}
    files = {WEIGHTS: weights, **{name: text.encode() for name, text in texts.items()}}
    _write(files, output, opened)
    return section


def default_name(checkpoint: Checkpoint) -> str:
    """Return what to call a model whose maker does not say."""
    return f"radenhance-{checkpoint.encoder}-{checkpoint.flags['data.image_size']}"


def check_package(path: Path) -> tuple[float, bool]:
    """Return how far the output of a package on this machine is from what it should be.

    Returns:
        The largest difference of a block's mean, and whether the output is the same bit for bit.

    Raises:
        UsageError: It is no package, or gives something else.
    """
    section = read_package(path).section
    checks = section["checks"]
    try:
        expected = ProbeOutput.from_json(checks.get("probe") if isinstance(checks, dict) else None)
    except ValueError as error:
        raise UsageError(f"{path} cannot be checked: {error}; ask for the package anew") from error
    found = probed(ContrastEnhancer.from_checkpoint(Checkpoint.open(path)).eval())
    difference = expected.difference(found)
    if not difference <= TOLERANCE:
        raise UsageError(
            f"{path} gives another image on this machine than where it was made: a mean differs by "
            f"{difference:.2g}, expected at most {TOLERANCE:g}; do not use it"
        )
    return difference, expected.sha256 == found.sha256


def _checks(checkpoint: Checkpoint) -> dict[str, Any]:
    network = ContrastEnhancer.from_checkpoint(checkpoint).eval()
    return {
        "weights_finite": True,  # else the checkpoint would not have opened
        "weights_equal_checkpoint_bit_for_bit": True,  # else it is not written
        "output_equals_checkpoint_bit_for_bit": True,
        "probe": probed(network).as_json(),
    }


def _write(files: Mapping[str, bytes], output: Path, checkpoint: Checkpoint) -> None:
    """Write the files and put them into their place if they give the checkpoint again."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with new_part(output.parent, is_folder=True) as part:
        made = part / ("made.zip" if output.suffix == ARCHIVE else "made")
        if output.suffix == ARCHIVE:
            with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
                for name, content in files.items():
                    archive.writestr(zipfile.ZipInfo(name, EPOCH), content)
        else:
            made.mkdir()
            for name, content in files.items():
                (made / name).write_bytes(content)
        _refuse_unless_same(Checkpoint.open(made), checkpoint, made)
        os.rename(made, output)


def _refuse_unless_same(made: Checkpoint, checkpoint: Checkpoint, path: Path) -> None:
    before, after = checkpoint.content[STATE], made.content[STATE]
    same = before.keys() == after.keys() and all(
        before[name].dtype == after[name].dtype and torch.equal(before[name], after[name])
        for name in before
    )
    if not same or made.packed() != checkpoint.packed() or not check_package(path)[1]:
        raise RadenhanceError(
            "the package would not give what the checkpoint gives, and was not written; look at "
            "memory and disk of this machine"
        )


def _measured(checkpoint: Checkpoint, root: Path | None) -> dict[str, Any]:
    if root is None:
        return {"data": None, "measures": None}
    options = checkpoint.input | same_fold(root, checkpoint.fold)
    data = RadiographDataModule(root, num_workers=0, **options)
    data.setup("validate")
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for pair in data.pairs:
        counts[pair.split][_species(pair)] += 1
    split = "test" if "test" in counts else "val"
    loader = data.test_dataloader() if split == "test" else data.val_dataloader()
    network = ContrastEnhancer.from_checkpoint(checkpoint).eval()
    species = [_species(pair) for pair in data.pairs if pair.split == split]
    rows = _rows(network, loader, checkpoint)
    measures = {"split": split, "all": _means(rows)}
    for one in sorted(set(species)):
        measures[one] = _means([row for row, of in zip(rows, species, strict=True) if of == one])
    return {"data": {split: dict(of) for split, of in counts.items()}, "measures": measures}


@torch.inference_mode()
def _rows(network: ContrastEnhancer, loader: Any, checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """Return the measures of each image, as JSON has them."""
    rows = []
    for batch in loader:
        images = batch["raw"], network.enhanced(batch).float()
        found = [measure(one, batch["target"], num_scales=checkpoint.num_scales) for one in images]
        rows.append(
            {
                name: {of: one[key].item() for of, one in zip(OF, found, strict=True)}
                for name, key in MEASURES.items()
            }
        )
    return rows


def _means(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    def mean_of(name: str, of: str) -> float | None:
        value = mean(row[name][of] for row in rows)
        return round(value, 6) if math.isfinite(value) else None  # decibels of an equal image

    means = {name: {of: mean_of(name, of) for of in OF} for name in UNITS}
    return {"num_images": len(rows), **means}


def _species(pair: Pair) -> str:
    """Return the species; what people wrote there in their own words stays with them."""
    return pair.species if pair.species in SPECIES else "other"


def _as_json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
