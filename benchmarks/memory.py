"""Peak memory of a training step under each technique, of fake tensors: no GPU, no data, seconds.

    python benchmarks/memory.py [--sizes 512,1024,2048,4096] [--encoder resnet34]

One image, float32 weights, MS-SSIM loss, Adam. Bytes of tensors; a GPU takes more (the CUDA
context, workspaces, fragmentation). Forward and backward are the highest use in their phase, all
included.
"""

import argparse

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from radenhance.loss.ms_ssim import ms_ssim_loss
from radenhance.memory.footprint import Footprint
from radenhance.memory.techniques import MemoryTechniques
from radenhance.network.unet import build_unet

GIB = 2**30
ROWS = {
    "original": (MemoryTechniques(), None),
    "chkp (stage)": (MemoryTechniques(checkpointing="stage"), None),
    "chkp (unit)": (MemoryTechniques(checkpointing="unit"), None),
    "amp": (MemoryTechniques(), torch.bfloat16),
    "mom": (MemoryTechniques(momentum=0.9), None),
    "chkp (unit) + mom": (MemoryTechniques(checkpointing="unit", momentum=0.9), None),
    "amp + chkp (unit)": (MemoryTechniques(checkpointing="unit"), torch.bfloat16),
    "amp + chkp (unit) + mom": (
        MemoryTechniques(checkpointing="unit", momentum=0.9),
        torch.bfloat16,
    ),
}


def step_peaks(
    techniques: MemoryTechniques, size: int, encoder: str, autocast: torch.dtype | None
) -> dict[str, float]:
    """Return the peak of each phase of the second training step, in GiB."""
    with FakeTensorMode(), Footprint() as footprint:
        unet = build_unet(encoder)
        optimizer = torch.optim.Adam(unet.parameters())
        raw, target = torch.rand(1, 1, size, size), torch.rand(1, 1, size, size)
        for _ in range(2):  # Adam makes its state in the first
            peaks = {}
            footprint.reset_peak()
            enabled = autocast is not None
            with torch.autocast("cpu", dtype=autocast or torch.bfloat16, enabled=enabled):
                enhanced = techniques.run(unet, raw)
            loss = ms_ssim_loss(enhanced, target)
            peaks["forward"] = footprint.peak_bytes / GIB
            footprint.reset_peak()
            del enhanced
            loss.backward()
            peaks["backward"] = footprint.peak_bytes / GIB
            footprint.reset_peak()
            del loss
            optimizer.step()
            optimizer.zero_grad()
            peaks["optimizer"] = footprint.peak_bytes / GIB
    peaks["peak"] = max(peaks.values())
    return peaks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="512,1024,2048,4096")
    parser.add_argument("--encoder", default="resnet34")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {options.encoder}, batch 1, Adam, MS-SSIM; GiB of tensors\n")
    print("| size | technique | forward | backward | peak | peak / original |")
    print("|---:|---|---:|---:|---:|---:|")
    for size in map(int, options.sizes.split(",")):
        original = None
        for name, (techniques, autocast) in ROWS.items():
            peaks = step_peaks(techniques, size, options.encoder, autocast)
            original = original or peaks["peak"]
            print(
                f"| {size} | {name} | {peaks['forward']:.2f} | {peaks['backward']:.2f} "
                f"| {peaks['peak']:.2f} | {peaks['peak'] / original:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
