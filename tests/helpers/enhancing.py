"""Files as they lie in an export, and a batch that enhances them."""

from pathlib import Path

import numpy as np
import pydicom
import torch
from saved_files import SAMPLES, with_pixels
from small_checkpoint import small_content

from radenhance.checkpoint import WholeFileCheckpointIO
from radenhance.inference.batch import Batch, Settings
from radenhance.inference.model import ReferenceEnhancer
from radenhance.inference.sources import files_of

REAL = ("RG1_UNCR.dcm", "RG3_UNCR.dcm")


def real_radiograph(number=0, step=8, **elements):
    """A real radiograph of one pixel in `step` of each direction, with other elements."""
    dataset = pydicom.dcmread(SAMPLES / REAL[number % 2])
    del dataset[0xFFFCFFFC]  # trailing padding
    with_pixels(dataset, np.ascontiguousarray(dataset.pixel_array[::step, ::step]))
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def save(dataset, path):
    """Write a dataset and return the path."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return Path(path)


def run(*inputs, out="out", enhancer=None, resume=False, **settings):
    """Enhance files and return the batch and its records."""
    out = Path(out)
    batch = Batch(out, Settings(enhancer or ReferenceEnhancer(), **settings), resume=resume)
    return batch, batch.run(files_of([Path(path) for path in inputs], leave_out=out))


def small_checkpoint(path="small.ckpt", **settings):
    """Write a checkpoint of a small network with settings of its own, and return its path.

    Its head's weights are larger than at first, so that a correction is seen.
    """
    content = small_content()
    for name, value in settings.items():
        group = "hyper_parameters" if name in content["hyper_parameters"] else None
        content[group or "datamodule_hyper_parameters"][name] = value
    head = "unet.segmentation_head.0.weight"
    torch.manual_seed(1)
    content["state_dict"][head] = 0.01 * torch.randn_like(content["state_dict"][head])
    WholeFileCheckpointIO().save_checkpoint(content, path)
    return Path(path)
