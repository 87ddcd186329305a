"""Two real radiographs: the computed-radiography samples that the package pydicom-data carries.

RG1 is a chest of 1955x1841 pixels and 15 bits, RG3 a lower leg of 1760x1760 pixels and 10 bits.
They declare no processing intent and serve as raw images; the reference enhancer makes their
targets. They are too few to train on; they show what a network does on real radiographs.
"""

import shutil
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path

from radenhance.dataset.manifest import write_manifest
from radenhance.extras import require_extra
from radenhance.prepare.folder import made_whole
from radenhance.prepare.target import make_target

SAMPLES = ("RG1", "RG3")


def sample(name: str) -> Path:
    """Return the path of an uncompressed sample of pydicom-data.

    Args:
        name: RG1 or RG3.

    Raises:
        UsageError: pydicom-data is not installed.
    """
    require_extra("demo", "a comparison with real radiographs")
    with as_file(files("data_store") / "data" / f"{name}_UNCR.dcm") as path:
        return path


def make_real_pairs(root: Path) -> None:
    """Make a dataset folder of the real samples, with both in split val.

    Args:
        root: The dataset folder to make.
    """
    with made_whole(root) as folder:
        for name in SAMPLES:
            shutil.copyfile(sample(name), folder / "raw" / f"{name}.dcm")
        pairs = [make_target(folder, folder / "raw" / f"{name}.dcm") for name in SAMPLES]
        write_manifest(folder, [replace(pair, split="val") for pair in pairs])
