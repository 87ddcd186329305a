"""A checkpoint as an ONNX file for other programs, and how far ONNX Runtime is from PyTorch.

The file is written only if it gives what the network gives, on real radiographs where there are
some: a graph that is nearly right looks right.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from radenhance.arrays import Image
from radenhance.checkpoint import Checkpoint
from radenhance.dataset.decoded import Decoded, decoded
from radenhance.dataset.pairs import WHOLE, Sample, collate
from radenhance.dataset.prediction import REDUCED_FIELD, PredictAt, prediction_input
from radenhance.dicom.radiograph import Radiograph
from radenhance.dicom.read import read
from radenhance.enhancer import ContrastEnhancer
from radenhance.errors import RadenhanceError, UsageError
from radenhance.extras import missing_of
from radenhance.files import replace_file
from radenhance.inference.int8 import refuse_unless_for_int8
from radenhance.inference.onnx_model import FIELD, HIGH, LOW, RAW, onnx_model
from radenhance.inference.probe import BITS, probe
from radenhance.memory.quantization.int8 import FATAL
from radenhance.memory.techniques import MemoryTechniques
from radenhance.package_file import model_sha256
from radenhance.prepare.real import SAMPLES, sample

LIMIT = 1e-4
"""Largest difference of a pixel of PyTorch and of ONNX Runtime in float32, of the range [0, 1]."""

ODD = (97, 131)
"""Rows and columns of the synthetic image, of which nothing is a multiple of 2."""

REDUCED_SIDE = 512
"""Shorter side of the real images where the network sees them at the size that they have."""

MOST_BYTES = 2**31 - 2**20
"""Of weights: protocol buffers, which the file is made of, are smaller than 2 GiB."""


@dataclass(frozen=True)
class Parity:
    """How far the model in ONNX Runtime is from the network in PyTorch on one image.

    Args:
        name: Of the image.
        shape: Its rows and columns.
        largest: Largest difference of a pixel, of the range [0, 1].
        mean: Mean difference.
    """

    name: str
    shape: tuple[int, int]
    largest: float
    mean: float


def export(
    checkpoint: Path, output: Path, *, at: PredictAt = "auto", int8: bool = False
) -> list[Parity]:
    """Write a checkpoint's network as an ONNX file.

    Args:
        checkpoint: The checkpoint.
        output: The file to write.
        at: The size at which the network sees an image; auto is what the checkpoint says.
        int8: Whether it computes in 8 bits; then the checkpoint was trained for that.

    Returns:
        How far the file is from the network, on each image.

    Raises:
        RadenhanceError: The checkpoint is not right, or the file would give something else.
        ImportError: The packages of the extra onnx are missing.
    """
    opened = Checkpoint.open(checkpoint)
    if int8:
        refuse_unless_for_int8(opened)
    if not output.parent.is_dir():  # found out after a minute of work otherwise
        raise UsageError(f"{output}: there is no folder {output.parent}; make it first")
    if opened.num_bytes > MOST_BYTES:
        raise UsageError(f"{opened.name} has more weights than fit into an ONNX file of 2 GiB")
    memory = MemoryTechniques(momentum=opened.memory.momentum)
    module = ContrastEnhancer.from_checkpoint(opened, memory=None if int8 else memory).eval()
    sha256 = model_sha256(checkpoint)
    at = opened.input["predict_at"] if at == "auto" else at
    content = onnx_model(opened, module, at=at, sha256=sha256, int8=int8).SerializeToString()
    differences = list(compared(content, opened, module, at))
    worst = max(one.largest for one in differences)
    if not int8 and not worst <= LIMIT:
        raise RadenhanceError(
            f"ONNX Runtime gives other pixels than PyTorch (by {worst:.2g} of the range, expected "
            f"at most {LIMIT:g}), so that no file was written; try other versions of onnx and "
            f"onnxruntime"
        )
    replace_file(output, content)
    return differences


def compared(
    content: bytes, checkpoint: Checkpoint, module: ContrastEnhancer, at: PredictAt
) -> Iterator[Parity]:
    """Yield how far a model is from a network, for each image.

    Args:
        content: The content of the ONNX file.
        checkpoint: The checkpoint.
        module: The network, on the CPU and in evaluation.
        at: The size at which both see an image.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = FATAL
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    inputs = {one.name for one in session.get_inputs()}
    for name, image in images(checkpoint, at):
        seen = seen_of(image, checkpoint, at)
        feed = {name: array for name, array in feed_of(image, seen).items() if name in inputs}
        (found,) = session.run(None, feed)
        difference = np.abs(found[0, 0] - enhanced(module, seen))
        yield Parity(name, image.shape, float(difference.max()), float(difference.mean()))


def seen_of(image: Decoded, checkpoint: Checkpoint, at: PredictAt) -> Sample:
    """Return what a network takes of a radiograph."""
    return prediction_input(
        image,
        image_size=checkpoint.input["image_size"],
        at=at,
        auto_range=checkpoint.input["intensity_range"] == "auto",
        black_outside=checkpoint.input["outside_field"] == "black",
    )


def feed_of(image: Decoded, seen: Sample) -> dict[str, np.ndarray]:
    """Return all that a model may take of a radiograph, by the names of its inputs.

    Args:
        image: The radiograph.
        seen: What the network takes of it.
    """
    low, high = (np.array(end, np.float32) for end in image.intensity_range)
    feed = {RAW: image[WHOLE][None, None], LOW: low, HIGH: high}
    if FIELD in seen:
        small = REDUCED_FIELD if REDUCED_FIELD in seen else FIELD
        feed |= {FIELD: seen[FIELD].numpy()[None], REDUCED_FIELD: seen[small].numpy()[None]}
    return feed


@torch.inference_mode()
def enhanced(module: ContrastEnhancer, seen: Sample) -> Image:
    """Return what the network makes of a radiograph, of which it takes what `seen_of` returned."""
    result: Image = module.predict_step(collate([seen]), 0)[0, 0].numpy()
    return result


def images(checkpoint: Checkpoint, at: PredictAt) -> Iterator[tuple[str, Decoded]]:
    """Yield synthetic images of odd sizes, and real ones.

    Where a network may see a reduced image, one of the synthetic ones and the real ones are larger
    than what it was trained on; else the real ones have about that size.
    """
    size = checkpoint.input["image_size"]
    yield "synthetic", synthetic(*ODD)
    reduces = at != "native" and size != "native"
    if reduces:
        yield "synthetic, reduced", synthetic(2 * size + 1, 2 * size + 35)
    trained = REDUCED_SIDE if size == "native" else size
    for name in () if missing_of("demo") else SAMPLES:
        yield name, decoded(read(sample(name)), image_size="native" if reduces else trained)


def synthetic(rows: int, columns: int) -> Decoded:
    """Return the image of `probe` as a radiograph."""
    return decoded(Radiograph(probe(rows, columns), BITS, "LOG", Path("synthetic")))
