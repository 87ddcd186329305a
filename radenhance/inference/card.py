"""What is said of a model that is handed on: for programs as JSON, for people as a page.

The JSON has the keys of MONAI's bundles (https://docs.monai.io/en/stable/mb_specification.html), so
that a catalogue of models can show it, and a section of ours, from which the model is opened again.
Neither names a file, a folder or a case of whoever made the model; texts of theirs are those that
they typed for this purpose.
"""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from radenhance import __version__
from radenhance.foreign_text import in_markdown
from radenhance.package_file import CARD, FORMAT, METADATA, SECTION, WEIGHTS

UNSTATED = "not stated"

INTENDED_USE = (
    "Research on enhancing the contrast of raw projection radiographs like those that the network "
    "was trained on, for readers who have the original beside the enhanced image. Research use. "
    "Not a medical device."
)

POLARITY = "more attenuation (bone) is brighter, in input and output"

UNIT_VALUES = (
    "with c a stored value in this polarity, b its bits and m = 2**b - 1: c / m where stored "
    "values are logarithmic in the X-ray intensity, 1 - log(1 + m - c) / log(1 + m) where they are "
    "linear"
)

WINDOW = {
    "auto": "the unit values at the 0.1 and 99.9 percentiles of the exposed field of the whole "
    "image become 0 and 1; what lies beyond is clipped",
    "declared": "none; the network sees unit values as they are",
}

OUTSIDE = {
    "black": "input and output are black outside the exposed field, inside the collimator",
    "keep": "left as it is",
}

LIMITS = (
    "It knows what it was trained on. Other species, body parts, detectors or exposures may come "
    "out worse than the raw image; nobody has looked.",
    "A network can wipe out details, or draw some that are not there. Keep the original beside it.",
    "The targets of its training were made by a program or chosen by people; it repeats their "
    "mistakes.",
    "The figures on this page are of images, not of diagnoses.",
)


@dataclass(frozen=True)
class Maker:
    """What only the maker of a model can say, as they typed it for others to read.

    Args:
        name: Name of the model.
        version: Version of the model.
        authors: Who made it.
        copyright: Whose it is.
        data_source: Where its training data is from.
    """

    name: str
    version: str = "1.0.0"
    authors: str = UNSTATED
    copyright: str = UNSTATED
    data_source: str = UNSTATED


def input_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the network takes, in words.

    Args:
        settings: Settings of the checkpoint, by the names that recipes have for them.
    """
    return {
        "polarity": POLARITY,
        "bits": "1 to 16 per stored value, as declared; 16 hold what the network gives",
        "unit_values": UNIT_VALUES,
        "window": WINDOW[settings["data.intensity_range"]],
        "outside_field": OUTSIDE[settings["data.outside_field"]],
        "value_range": [0, 1],
        "training_size": settings["data.image_size"],
        "padding": "by reflection, below and to the right, to multiples of 32 pixels",
    }


def metadata(maker: Maker, section: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of metadata.json.

    Args:
        maker: What the maker says.
        section: Our part, with the keys of `package_file.KEYS`.
    """
    return {
        "name": maker.name,
        "version": maker.version,
        "changelog": {maker.version: "packed from a checkpoint"},
        "monai_version": "not needed",
        "pytorch_version": torch.__version__.split("+")[0],
        "numpy_version": np.__version__,
        "optional_packages_version": {"radenhance": __version__},
        "task": "Contrast enhancement of raw radiographs",
        "description": f"U-Net with encoder {section['settings']['model.encoder']} that enhances "
        f"the contrast of raw projection radiographs; `radenhance enhance` takes the package.",
        "authors": maker.authors,
        "copyright": maker.copyright,
        "data_source": maker.data_source,
        "data_type": "dicom",
        "intended_use": INTENDED_USE,
        "image_classes": f"single channel, [0, 1], {POLARITY}",
        "pred_classes": "single channel, [0, 1], the enhanced image",
        "eval_metrics": (section["measures"] or {}).get("all", {}),
        "network_data_format": {
            "inputs": {"image": _tensor("raw radiograph")},
            "outputs": {"pred": _tensor("enhanced radiograph")},
        },
        SECTION: {"format": FORMAT, "version": __version__, **section},
    }


def card(maker: Maker, section: Mapping[str, Any]) -> str:
    """Return MODEL.md.

    Args:
        maker: What the maker says.
        section: Our part of the metadata.
    """
    said = {
        "version": maker.version,
        "authors": maker.authors,
        "copyright": maker.copyright,
        "source of the training data": maker.data_source,
        "trained and packed with": f"radenhance {__version__}",
    }
    parts = [
        f"# {in_markdown(maker.name)}",
        "**Research use. Not a medical device.**",
        _table(("", ""), [(name, in_markdown(value)) for name, value in said.items()]),
        "## Intended use",
        INTENDED_USE,
        "## Limits",
        "\n".join(f"- {limit}" for limit in LIMITS),
        "## What it takes and gives",
        _table(("", ""), [(name, str(value)) for name, value in section["input"].items()]),
        "## Settings",
        _table(("", ""), [(f"`{name}`", f"`{v}`") for name, v in _settings(section).items()]),
        *_data(section),
        *_checks(section),
    ]
    return "\n\n".join(parts) + "\n"


def _settings(section: Mapping[str, Any]) -> dict[str, Any]:
    coarse = section["coarse"]
    return {**section["settings"], **({"model.coarse": coarse} if coarse else {})}


def _data(section: Mapping[str, Any]) -> list[str]:
    counts, measures = section["data"], section["measures"]
    if counts is None or measures is None:
        return ["## Data and measures", "No dataset was named when the package was made."]
    species = sorted({one for split in counts.values() for one in split})
    rows = [(split, *(str(of.get(one, 0)) for one in species)) for split, of in counts.items()]
    split = measures["split"]
    return [
        "## Data",
        "Pairs of the dataset that was named when the package was made:",
        _table(("split", *species), rows),
        "## Measures",
        f"Means over the radiographs of split {split}, at the size of training, with their "
        f"targets. Raw is the network's input as it is: the baseline to beat. Whether the network "
        f"was trained on other radiographs than these only its maker knows.",
        _table(
            ("species", "images", *(f"{name}, {of}" for name in UNITS.values() for of in OF)),
            [_measured(name, row) for name, row in measures.items() if name != "split"],
        ),
    ]


UNITS = {"ms_ssim": "MS-SSIM", "ssim": "SSIM", "psnr_db": "PSNR in dB", "mae": "MAE"}
"""Measure, as the JSON has it -> its name and unit for people."""

OF = ("raw", "enhanced")


def _measured(name: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    def text(measure: str, of: str) -> str:
        value = row[measure][of]
        return "equal" if value is None else f"{value:.{1 if measure == 'psnr_db' else 4}f}"

    return name, str(row["num_images"]), *(text(measure, of) for measure in UNITS for of in OF)


def _checks(section: Mapping[str, Any]) -> list[str]:
    return [
        "## Checks",
        f"Done when the package was made: all weights are finite; the weights in {WEIGHTS} are "
        f"those of the checkpoint, bit for bit; opened from the package, the network makes the "
        f"same of a synthetic image, bit for bit. `radenhance package --check PACKAGE` does the "
        f"last one again on your machine.",
        _table(
            ("", ""),
            [
                (f"SHA-256 of {WEIGHTS}", f"`{section['weights_sha256']}`"),
                ("SHA-256 of the checkpoint", f"`{section['checkpoint_sha256']}`"),
                ("Python, PyTorch, NumPy", ", ".join(_versions())),
            ],
        ),
        f"{METADATA} says the same for programs, by the schema of MONAI's bundles. {CARD} is this "
        f"page.",
    ]


def _versions() -> Sequence[str]:
    return platform.python_version(), torch.__version__.split("+")[0], np.__version__


def _tensor(meaning: str) -> dict[str, Any]:
    return {
        "type": "image",
        "format": "magnitude",
        "modality": "DX",
        "num_channels": 1,
        "spatial_shape": ["*", "*"],
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": False,
        "channel_def": {"0": f"{meaning}, {POLARITY}"},
    }


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
