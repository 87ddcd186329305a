"""`radenhance export`: a checkpoint as an ONNX file for other programs."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from radenhance.checkpoint import Checkpoint
from radenhance.command_line.arguments import named_checkpoint
from radenhance.console import Parser, say
from radenhance.dataset.prediction import PredictAt
from radenhance.extras import require_extra


def main(arguments: Sequence[str]) -> None:
    """Run `radenhance export`."""
    parser = Parser(
        prog="radenhance export",
        description="Write a checkpoint's network as an ONNX file, with window, padding and "
        "clipping inside, for images of any size; and say how far ONNX Runtime is from PyTorch.",
        epilog="example: radenhance export best enhancer.onnx",
    )
    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help="a checkpoint or a model package, or last or best of the newest run",
    )
    parser.add_argument("out", type=Path, metavar="OUT.onnx", help="file to write")
    parser.add_argument(
        "--at",
        choices=get_args(PredictAt),
        default="auto",
        help="size at which the network sees an image, as that of `radenhance enhance`: native; "
        "training, where its correction is enlarged and added to all pixels; or auto (auto)",
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="compute in 8 bits, with a checkpoint that was trained with "
        "--model.memory.quantization qat",
    )
    options = parser.parse_args(arguments[1:])
    require_extra("onnx", "radenhance export")
    # ONNX takes a while to import, and need not be installed for --help
    from radenhance.inference.export import export

    checkpoint = named_checkpoint(options.checkpoint)
    differences = export(checkpoint, options.out, at=options.at, int8=options.int8)
    lines = [f"{'ONNX Runtime and PyTorch':<26}{'rows x columns':>16}{'largest':>12}{'mean':>12}"]
    lines += [
        f"{one.name:<26}{one.shape[0]:>8} x {one.shape[1]:<5}{one.largest:>12.2g}{one.mean:>12.2g}"
        for one in differences
    ]
    size = options.out.stat().st_size
    rounded = Checkpoint.open(checkpoint).memory.quantization == "qat" and not options.int8
    lines += [
        "",
        f"{options.out}: {size / 1e6:.1f} MB, {'int8' if options.int8 else 'float32'}"
        f"{', without the rounding that it trained with, which --int8 has' if rounded else ''}. "
        f"Inputs and output: docs/how-to/share_a_model.md",
    ]
    say("\n".join(lines))
