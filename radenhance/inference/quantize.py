"""A quantization-aware run's checkpoint as an int8 model in a file: `radenhance quantize`."""

import argparse
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch
from torch import Tensor

from radenhance.command_line.fit import flags_of
from radenhance.console import say
from radenhance.datamodule import DEFAULT_ROOT, RadiographDataModule
from radenhance.enhancer import ContrastEnhancer
from radenhance.errors import UsageError
from radenhance.extras import require_extra
from radenhance.files import replace_file
from radenhance.loss.ms_ssim import NumScales, ms_ssim
from radenhance.memory.techniques import MemoryTechniques
from radenhance.runs import find_checkpoint

FLOAT, FAKE, INT8 = "float", "rounded in float (as trained)", "int8"


@dataclass(frozen=True)
class Measured:
    """What a network does on the validation radiographs, on this CPU.

    Args:
        ms_ssim: Mean, with the targets.
        agreement: Mean MS-SSIM with the network as it trained.
        seconds: Median time of an image.
    """

    ms_ssim: float
    agreement: float
    seconds: float


def main(arguments: Sequence[str]) -> None:
    """Run `radenhance quantize`."""
    parser = argparse.ArgumentParser(
        prog="radenhance quantize",
        description="Convert a checkpoint that was trained with --model.memory.quantization qat to "
        "an int8 model for the CPU, and measure both on the validation radiographs.",
    )
    parser.add_argument(
        "--ckpt_path", default="best", help="a checkpoint, or last or best of the newest run (best)"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("int8.onnx"), help="file to write (int8.onnx)"
    )
    parser.add_argument(
        "--root", type=Path, default=DEFAULT_ROOT, help=f"dataset to validate on ({DEFAULT_ROOT})"
    )
    options = parser.parse_args(arguments[1:])
    checkpoint = find_checkpoint(options.ckpt_path, Path())
    measured = convert(checkpoint, options.output, options.root)
    say(report(measured, checkpoint, options.output))


def convert(checkpoint: Path, output: Path, root: Path) -> dict[str, Measured]:
    """Write the int8 model of a checkpoint to `output`; measure it and the float ones on `root`.

    Raises:
        RadenhanceError: The checkpoint was not trained for int8, the dataset is not right, or the
            packages of the extra onnx are missing.
    """
    require_extra("onnx", "radenhance quantize")
    from radenhance.memory.quantization.int8 import to_int8

    flags = flags_of(checkpoint)
    if flags["model.memory.quantization"] != "qat":
        raise UsageError(
            f"{checkpoint} was not trained for int8; train with --config quant.yaml "
            f"(--model.memory.quantization qat), from this checkpoint's weights if you like"
        )
    trained = _load(checkpoint, MemoryTechniques(quantization="qat"))
    data = RadiographDataModule(
        root=root, image_size=flags["data.image_size"], window=flags["data.window"], num_workers=0
    )
    data.prepare_data()
    data.setup("validate")
    replace_file(output, to_int8(trained.unet).SerializeToString())
    networks = {
        FLOAT: _load(checkpoint, MemoryTechniques()),
        FAKE: trained,
        INT8: _load(checkpoint, MemoryTechniques(), int8=output),
    }
    return measure(networks, data.val_dataloader(), num_scales=flags["model.num_scales"])


@torch.inference_mode()
def measure(
    networks: Mapping[str, Callable[[Tensor], Tensor]],
    batches: Iterable[Mapping[str, Any]],
    *,
    num_scales: NumScales,
) -> dict[str, Measured]:
    """Return how each network does; FAKE must be one of them.

    Args:
        networks: By name; they run one after the other on each image.
        batches: Of one image each.
        num_scales: Of MS-SSIM.
    """
    rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in networks}
    for batch in batches:
        enhanced, seconds = {}, {}
        for name, network in networks.items():
            start = time.perf_counter()
            enhanced[name] = network(batch["raw"]).clamp(0, 1)
            seconds[name] = time.perf_counter() - start
        for name, image in enhanced.items():
            others = (batch["target"], enhanced[FAKE])
            similar = [ms_ssim(image, other, num_scales=num_scales).item() for other in others]
            rows[name].append((similar[0], similar[1], seconds[name]))
    columns = {name: list(zip(*values, strict=True)) for name, values in rows.items()}
    return {
        name: Measured(mean(similar), mean(agreement), median(seconds))
        for name, (similar, agreement, seconds) in columns.items()
    }


def report(measured: Mapping[str, Measured], checkpoint: Path, output: Path) -> str:
    """Return the measures as a table, and what to do with the file."""
    weights = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"].values()
    float_bytes = sum(weight.nbytes for weight in weights)
    sizes = {FLOAT: float_bytes, FAKE: float_bytes, INT8: output.stat().st_size}
    lines = [f"{'':<32}{'MS-SSIM':>10}{'as trained':>12}{'s / image':>11}{'MB':>8}"]
    lines += [
        f"{name:<32}{m.ms_ssim:>10.4f}{m.agreement:>12.4f}{m.seconds:>11.3f}"
        f"{sizes[name] / 1e6:>8.1f}"
        for name, m in measured.items()
    ]
    faster = measured[FLOAT].seconds / measured[INT8].seconds
    smaller = float_bytes / sizes[INT8]
    return "\n".join(
        [
            *lines,
            "",
            f"int8 is {faster:.1f} times as fast as float on this CPU and {smaller:.1f} times "
            f"smaller. To use it:",
            f"radenhance predict --ckpt_path {checkpoint} --model.int8 {output} "
            f"--data.predict_from FOLDER",
        ]
    )


def _load(checkpoint: Path, memory: MemoryTechniques, **options: Any) -> ContrastEnhancer:
    model = ContrastEnhancer.load_from_checkpoint(
        checkpoint, map_location="cpu", memory=memory, **options
    )
    return model.eval()
