"""Peak memory of a training step under each technique, of fake tensors: no GPU, no data, seconds.

    python benchmarks/memory.py [--sizes 512,1024,2048,4096] [--encoder resnet34]

One image, float32 weights, MS-SSIM loss, Adam. Bytes of tensors; a GPU takes more (the CUDA
context, workspaces, fragmentation). Forward and backward are the highest use in their phase, all
included. Host is what waits in host memory where everything may.
"""

import argparse

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from radenhance.loss.streamed_ms_ssim import streamed_ms_ssim_loss
from radenhance.memory.footprint import Footprint
from radenhance.memory.offload import host_bytes
from radenhance.memory.techniques import MemoryTechniques
from radenhance.network.unet import build_unet

GIB = 2**30
ALL_MIB = 2**16
"""Room for every activation of the largest image."""
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
    "quant": (MemoryTechniques(quantization="qat"), None),
    "amp + quant": (MemoryTechniques(quantization="qat"), torch.bfloat16),
    "chkp (unit) + quant": (MemoryTechniques(quantization="qat", checkpointing="unit"), None),
    "band": (MemoryTechniques(band_rows="auto"), None),
    "chkp (unit) + band": (MemoryTechniques(checkpointing="unit", band_rows="auto"), None),
    "amp + chkp (unit) + band": (
        MemoryTechniques(checkpointing="unit", band_rows="auto"),
        torch.bfloat16,
    ),
    "chkp (unit) + band + offload": (
        MemoryTechniques(checkpointing="unit", band_rows="auto", offload_mib=ALL_MIB),
        None,
    ),
    "offload": (MemoryTechniques(offload_mib=ALL_MIB), None),
    "chkp (unit) + offload": (MemoryTechniques(checkpointing="unit", offload_mib=ALL_MIB), None),
    "amp + chkp (unit) + offload": (
        MemoryTechniques(checkpointing="unit", offload_mib=ALL_MIB),
        torch.bfloat16,
    ),
}


def step_peaks(
    techniques: MemoryTechniques, size: int, encoder: str, autocast: torch.dtype | None
) -> dict[str, float]:
    """Return the peak of each phase of the second training step, and of the host, in GiB."""
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
            loss = streamed_ms_ssim_loss(enhanced, target)
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
    peaks["host"] = host_bytes(techniques.stages_of(unet)) / GIB
    return peaks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="512,1024,2048,4096")
    parser.add_argument("--encoder", default="resnet34")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {options.encoder}, batch 1, Adam, MS-SSIM; GiB of tensors\n")
    print("| size | technique | forward | backward | peak | peak / original | host |")
    print("|---:|---|---:|---:|---:|---:|---:|")
    for size in map(int, options.sizes.split(",")):
        original = None
        for name, (techniques, autocast) in ROWS.items():
            peaks = step_peaks(techniques, size, options.encoder, autocast)
            original = original or peaks["peak"]
            print(
                f"| {size} | {name} | {peaks['forward']:.2f} | {peaks['backward']:.2f} "
                f"| {peaks['peak']:.2f} | {peaks['peak'] / original:.2f} | {peaks['host']:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
