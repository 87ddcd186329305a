"""A model package of a small network, and its files to be changed."""

import hashlib
import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load, save
from small_checkpoint import small_content

from radenhance.inference.package import make_package
from radenhance.package_file import METADATA, SECTION, WEIGHTS


def small_checkpoint(path):
    """Write the small checkpoint and return its path."""
    torch.save(small_content(), path)
    return Path(path)


@cache
def _files():
    with TemporaryDirectory() as folder:
        made = Path(folder) / "made"
        make_package(small_checkpoint(Path(folder) / "small.ckpt"), made)
        return {path.name: path.read_bytes() for path in made.iterdir()}


def small_files():
    """Return the files of a package: name -> content."""
    return dict(_files())


def in_folder(files, folder):
    """Write files into a folder and return it."""
    folder = Path(folder)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def with_metadata(change):
    """The files of a package whose metadata a function has changed."""
    files = small_files()
    metadata = json.loads(files[METADATA])
    change(metadata)
    return files | {METADATA: json.dumps(metadata).encode()}


def with_section(**changes):
    """The files of a package with other values in our section."""
    return with_metadata(lambda metadata: metadata[SECTION].update(changes))


def with_weights(content):
    """The files of a package with other weights, and their checksum."""
    sha256 = hashlib.sha256(content).hexdigest()
    return with_section(weights_sha256=sha256) | {WEIGHTS: content}


def with_state(change):
    """The files of a package whose weights a function has changed, and their checksum."""
    state = load(small_files()[WEIGHTS])
    change(state)
    return with_weights(save(state))
