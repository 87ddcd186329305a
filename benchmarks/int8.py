"""Claim: trained for int8, a network is a quarter in size, faster on a CPU, and nearly the same.

    python benchmarks/int8.py

Trains a float network and one for int8 on smooth random images and their square roots, without
files, and converts the second. For a run of your own, `radenhance quantize` prints the same. Takes
about two minutes on two cores.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

import harness
import onnxruntime
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from torch import Tensor

from radenhance.loss.ms_ssim import ms_ssim, ms_ssim_loss
from radenhance.memory.quantization.int8 import Int8Network, to_int8
from radenhance.memory.techniques import MemoryTechniques
from radenhance.network.unet import build_unet

FLOAT, QAT = MemoryTechniques(), MemoryTechniques(quantization="qat")


def images(count: int, side: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return raw and target: smooth fields in [0, 1], darkened, with noise."""
    coarse = torch.rand(count, 1, side // 8, side // 8, generator=generator)
    target = F.interpolate(coarse, scale_factor=8, mode="bicubic").clamp(0, 1)
    noise = torch.randn(target.shape, generator=generator)
    return 0.25 + 0.5 * target.sqrt() + 0.01 * noise, target


def train(techniques: MemoryTechniques, encoder: str, side: int, steps: int) -> smp.Unet:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    unet = build_unet(encoder)
    optimizer = torch.optim.Adam(unet.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        raw, target = images(4, side, generator)
        optimizer.zero_grad()
        ms_ssim_loss(techniques.run(unet, raw), target, num_scales="auto").backward()
        optimizer.step()
        schedule.step()
    return unet.eval()


def parser() -> argparse.ArgumentParser:
    flags = harness.parser(__doc__)
    flags.add_argument("--encoder", default="resnet18", help="encoder of the network")
    flags.add_argument("--side", type=int, default=128, help="side of training images in pixels")
    flags.add_argument("--steps", type=int, default=60, help="training steps")
    flags.add_argument("--speed_side", type=int, default=512, help="side of the timed image")
    return flags


def main(options: argparse.Namespace) -> None:
    harness.print_heading(
        f"onnxruntime {onnxruntime.__version__}, {torch.get_num_threads()} threads; "
        f"{options.encoder}, {options.steps} steps at {options.side} px"
    )
    shape = (options.encoder, options.side, options.steps)
    plain, trained = train(FLOAT, *shape), train(QAT, *shape)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "int8.onnx"
        file.write_bytes(to_int8(trained).SerializeToString())
        float_bytes = sum(parameter.nbytes for parameter in plain.parameters())
        networks = {
            "float": (partial(FLOAT.run, plain), float_bytes),
            "trained for int8, in float": (partial(QAT.run, trained), float_bytes),
            "int8": (Int8Network(file), file.stat().st_size),
        }
        print_networks(networks, options.side, options.speed_side)


@torch.inference_mode()
def print_networks(networks: dict, side: int, speed_side: int) -> None:
    raw, target = images(8, side, torch.Generator().manual_seed(1))
    large = torch.rand(1, 1, speed_side, speed_side)
    as_trained = networks["trained for int8, in float"][0](raw)
    columns = ("loss", "MS-SSIM with as trained", f"s at {speed_side} px", "MB")
    with harness.table("network", *columns, names=networks) as row:
        for name, (network, num_bytes) in networks.items():
            enhanced = network(raw)
            loss = ms_ssim_loss(enhanced, target, num_scales="auto")
            agreement = ms_ssim(enhanced, as_trained, num_scales="auto").mean()
            taken = harness.best(partial(network, large), 5)
            row(name, f"{loss:.3f}", f"{agreement:.4f}", f"{taken:.3f}", f"{num_bytes / 1e6:.1f}")


if __name__ == "__main__":
    main(parser().parse_args())
