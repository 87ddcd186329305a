"""Claim: a radiograph of 4188 x 4188 px is enhanced at that size in about 2.2 GiB, on a CPU.

    python benchmarks/enhance.py
    python benchmarks/enhance.py --sides 1024,4188 --whole

Runs `radenhance enhance` on a DICOM file of noise of each side: with a network (ResNet-34, a
correction, random weights) at native size and at that of training (512 px), and with the reference
enhancer. Printed are the seconds of the image, and the largest resident memory of the whole
process, libraries included. Then the largest difference between outputs in bands and whole, with
one thread and with two, of that network with BatchNorm's statistics of noise, as a trained one has
them. The first command takes about a minute on two cores, the second about five.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import harness
import lightning
import numpy as np
import torch

from radenhance.checkpoint import LIGHTNING, OF_DATA, OF_MODEL, WholeFileCheckpointIO
from radenhance.enhancer import ContrastEnhancer
from radenhance.inference.journal import JOURNAL
from radenhance.inference.model import open_enhancer
from radenhance.phantoms.radiograph import dataset_of, phantom
from radenhance.units import GIB

WAYS = ("network, native", "network, training", "reference enhancer")


def write_radiograph(path: Path, side: int) -> None:
    """Write a DICOM file of noise of 14 bits with the header of a phantom."""
    dataset = dataset_of(phantom("dog", seed=0, spacing_mm=2.0))
    values = np.random.default_rng(0).integers(0, 2**14, (side, side), dtype=np.uint16)
    dataset.Rows, dataset.Columns, dataset.PixelData = side, side, values.tobytes()
    dataset.save_as(path, enforce_file_format=True)


def enhance(way: str, radiograph: Path, checkpoint: Path, out: Path) -> tuple[float, float]:
    """Run the command; return the seconds of the image, and the process's largest memory in GiB."""
    first = [str(checkpoint), f"--at={way.rpartition(' ')[2]}"] if way.startswith("network") else []
    command = [sys.executable, "-m", "radenhance", "enhance", *first, str(radiograph)]
    process = subprocess.Popen(
        [*command, f"--out={out}", "--device=cpu"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(said)
    record = json.loads((out / JOURNAL).read_text().splitlines()[-1])
    return record["seconds"], usage.ru_maxrss * 1024 / GIB


@torch.inference_mode()
def difference_of_bands(network: ContrastEnhancer, side: int, threads: int) -> tuple[float, float]:
    """Return the largest difference between outputs in bands and whole, and the outputs' range."""
    torch.set_num_threads(threads)
    raw = torch.rand(1, 1, side, side)
    network.memory = dataclasses.replace(network.memory, band_rows="auto")
    banded = network(raw)
    network.memory = dataclasses.replace(network.memory, band_rows=0)
    whole = network(raw)
    return float((banded - whole).abs().max()), float(whole.max() - whole.min())


@torch.no_grad()
def observe_noise(network: ContrastEnhancer) -> None:
    """Set BatchNorm's statistics to those of noise; without, values grow stage by stage."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean of all, which is one
    network.train()(torch.rand(1, 1, 512, 512))
    network.eval()


def write_checkpoint(path: Path) -> None:
    """Write a checkpoint of a network that was never trained."""
    torch.manual_seed(0)
    network = ContrastEnhancer("resnet34", output="correction")
    torch.nn.init.normal_(network.unet.segmentation_head[0].weight, std=0.01)  # no correction of 0
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
                    out = Path(folder, f"{way} {side}")
                    seconds, peak = enhance(way, radiograph, checkpoint, out)
                    megapixels = side**2 / 1e6
                    figures = f"{seconds:.1f}", f"{seconds / megapixels:.2f}", f"{peak:.2f}"
                    row(f"{way}, {side} px", *figures)
        side = options.sides[-1 if options.whole else 0]
        network = open_enhancer(checkpoint, device="cpu").network
        observe_noise(network)
        for threads in (1, 2):
            largest, extent = difference_of_bands(network, side, threads)
            print(
                f"bands and whole at {side} px, threads: {threads}; differ by {largest:.1e} in a "
                f"range of {extent:.1f}"
            )


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
