"""A checkpoint of quantization-aware training as an int8 model in a file, beside the float one."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

import torch

from radenhance.checkpoint import Checkpoint
from radenhance.datamodule import RadiographDataModule, same_fold
from radenhance.enhancer import Batch, ContrastEnhancer
from radenhance.errors import UsageError
from radenhance.files import replace_file
from radenhance.loss.ms_ssim import NumScales, ms_ssim
from radenhance.memory.techniques import MemoryTechniques

FLOAT, FAKE, INT8 = "float", "rounded in float (as trained)", "int8"
"""Names of the three networks that are measured."""


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


def convert(checkpoint: Checkpoint, output: Path, root: Path) -> dict[str, Measured]:
    """Write the int8 model of a checkpoint; measure it and the float networks.

    Args:
        checkpoint: Of quantization-aware training.
        output: The file to write.
        root: The dataset whose validation radiographs are measured.

    Raises:
        RadenhanceError: The checkpoint was not trained for int8, or the dataset is not right.
        ImportError: The packages of the extra onnx are missing.
    """
    # most runs do without ONNX, which takes a while to import and need not be installed
    from radenhance.memory.quantization.int8 import to_int8

    refuse_unless_for_int8(checkpoint)
    trained = ContrastEnhancer.from_checkpoint(checkpoint).eval()
    options = checkpoint.input | same_fold(root, checkpoint.fold)
    data = RadiographDataModule(root, num_workers=0, **options)
    data.prepare_data()
    data.setup("validate")
    replace_file(output, to_int8(trained.unet).SerializeToString())
    plain = MemoryTechniques()
    networks = {
        FLOAT: ContrastEnhancer.from_checkpoint(checkpoint, memory=plain).eval(),
        FAKE: trained,
        INT8: ContrastEnhancer.from_checkpoint(checkpoint, memory=plain, int8=output).eval(),
    }
    return measure(networks, data.val_dataloader(), num_scales=checkpoint.num_scales)


def refuse_unless_for_int8(checkpoint: Checkpoint) -> None:
    """Raise a UsageError at a checkpoint that was not trained for int8."""
    if checkpoint.memory.quantization != "qat":
        raise UsageError(
            f"{checkpoint.name} was not trained for int8; train with --config quant.yaml "
            f"(--model.memory.quantization qat), from this checkpoint's weights if you like"
        )


@torch.inference_mode()
def measure(
    networks: Mapping[str, ContrastEnhancer],
    batches: Iterable[Batch],
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
            enhanced[name] = network.enhanced(batch).clamp(0, 1)
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
