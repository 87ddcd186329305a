"""Claim: a radiograph of 4188 x 4188 px is enhanced at that size in 2.2 GiB of memory, on a CPU.

    python benchmarks/enhance.py
    python benchmarks/enhance.py --sides 1024,2048,4188 --whole

Runs `radenhance.enhance` in a process of its own for each side: a network (ResNet-34, a correction,
random weights) at native size and at that of training (512 px), and the reference enhancer, on a
DICOM file of noise. Printed are seconds, and the largest resident memory of the whole process,
libraries included, that of reading and deriving too. Then the largest difference between outputs in
bands and whole. The first command takes about a minute on two cores, the second about seven.
"""

import argparse
import dataclasses
import multiprocessing
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import harness
import lightning
import numpy as np
import torch

import radenhance
from radenhance.checkpoint import LIGHTNING, OF_DATA, OF_MODEL, WholeFileCheckpointIO
from radenhance.compat.glibc import keep_heap_small
from radenhance.enhancer import ContrastEnhancer
from radenhance.inference.model import NetworkEnhancer, open_enhancer
from radenhance.phantoms.radiograph import dataset_of, phantom
from radenhance.units import GIB

WAYS = ("network, native", "network, training", "reference enhancer")


def write_radiograph(path: Path, side: int) -> None:
    """Write a DICOM file of noise of 14 bits with the header of a phantom."""
    dataset = dataset_of(phantom("dog", seed=0, spacing_mm=2.0))
    values = np.random.default_rng(0).integers(0, 2**14, (side, side), dtype=np.uint16)
    dataset.Rows, dataset.Columns, dataset.PixelData = side, side, values.tobytes()
    dataset.save_as(path, enforce_file_format=True)


def enhance(way: str, radiograph: Path, checkpoint: Path) -> tuple[float, float]:
    """Return seconds, and the process's largest memory in GiB."""
    keep_heap_small()  # as the command does
    at = way.rpartition(" ")[2]
    network = way.startswith("network")
    enhancer = open_enhancer(checkpoint, at=at, device="cpu") if network else None  # type: ignore[arg-type]
    begin = time.perf_counter()
    derived = radenhance.enhance(radiograph, enhancer)
    seconds = time.perf_counter() - begin
    assert derived.Rows * derived.Columns * 2 == len(derived.PixelData)
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB


@torch.inference_mode()
def difference_of_bands(side: int, checkpoint: Path) -> float:
    """Return the largest difference between an image's pixels in bands and whole."""
    enhancer: NetworkEnhancer = open_enhancer(checkpoint, at="native", device="cpu")
    raw = torch.rand(1, 1, side, side)
    network = enhancer.network
    network.memory = dataclasses.replace(network.memory, band_rows="auto")
    banded = network(raw)
    network.memory = dataclasses.replace(network.memory, band_rows=0)
    return float((banded - network(raw)).abs().max())


def write_checkpoint(path: Path) -> None:
    """Write a checkpoint of a network that was never trained."""
    torch.manual_seed(0)
    network = ContrastEnhancer("resnet34", output="correction")
    settings = {"image_size": 512, "intensity_range": "auto", "outside_field": "black"}
    content = {
        "state_dict": network.state_dict(),
        OF_MODEL: dict(network.hparams),
        OF_DATA: settings,
        LIGHTNING: lightning.__version__,
    }
    WholeFileCheckpointIO().save_checkpoint(content, path)


def main(options: argparse.Namespace) -> None:
    harness.print_heading("resnet34, never trained; noise of 14 bits")
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, radiograph = Path(folder, "network.ckpt"), Path(folder, "raw.dcm")
        write_checkpoint(checkpoint)
        names = [f"{way}, {side} px" for side in options.sides for way in WAYS]
        with harness.table("enhanced", "s", "s / Mpx", "peak GiB", names=names) as row:
            for side in options.sides:
                write_radiograph(radiograph, side)
                for way in WAYS:
                    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                        seconds, peak = pool.submit(enhance, way, radiograph, checkpoint).result()
                    megapixels = side**2 / 1e6
                    figures = f"{seconds:.1f}", f"{seconds / megapixels:.2f}", f"{peak:.2f}"
                    row(f"{way}, {side} px", *figures)
        side = options.sides[-1 if options.whole else 0]
        largest = difference_of_bands(side, checkpoint)
        print(f"largest difference of bands and whole at {side} px: {largest:.1e}")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the script's flags."""
    flags = harness.parser(__doc__ or "")
    flags.add_argument(
        "--sides", type=harness.listed_numbers, default=[512, 1024], help="pixels a side"
    )
    flags.add_argument(
        "--whole", action="store_true", help="compare bands at the last side, not the first (7 GiB)"
    )
    return flags


if __name__ == "__main__":
    main(parser().parse_args())
