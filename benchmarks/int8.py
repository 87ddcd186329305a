"""Size, speed and MS-SSIM of an int8 model beside the float network, on this CPU.

    python benchmarks/int8.py [--encoder resnet18] [--side 128] [--steps 60] [--speed_side 512]

Trains both on smooth random images and their square roots, without files; then converts. For a run
of your own, `radenhance quantize` prints the same.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

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


def seconds(network: Callable[[Tensor], Tensor], image: Tensor) -> float:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        network(image)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--speed_side", type=int, default=512)
    options = parser.parse_args()
    shape = (options.encoder, options.side, options.steps)
    plain, trained = train(FLOAT, *shape), train(QAT, *shape)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        file = Path(folder) / "int8.onnx"
        with torch.inference_mode(False):
            file.write_bytes(to_int8(trained).SerializeToString())
        raw, target = images(8, options.side, torch.Generator().manual_seed(1))
        large = torch.rand(1, 1, options.speed_side, options.speed_side)
        float_mb = sum(p.nbytes for p in plain.parameters()) / 1e6
        networks = {
            "float": (lambda image: FLOAT.run(plain, image), float_mb),
            "trained for int8, in float": (lambda image: QAT.run(trained, image), float_mb),
            "int8": (Int8Network(file), file.stat().st_size / 1e6),
        }
        as_trained = QAT.run(trained, raw)
        print(f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__},")
        print(f"{torch.get_num_threads()} threads, {options.encoder}, {options.steps} steps\n")
        print(f"| network | loss | MS-SSIM with as trained | s at {options.speed_side} px | MB |")
        print("|---|---:|---:|---:|---:|")
        for name, (network, size) in networks.items():
            enhanced = network(raw)
            loss = ms_ssim_loss(enhanced, target, num_scales="auto")
            agreement = ms_ssim(enhanced, as_trained, num_scales="auto").mean()
            print(
                f"| {name} | {loss:.3f} | {agreement:.4f} | {seconds(network, large):.3f} "
                f"| {size:.1f} |"
            )


if __name__ == "__main__":
    main()
