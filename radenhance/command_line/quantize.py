"""`radenhance quantize`: a checkpoint as an int8 model for the CPU."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from radenhance.checkpoint import Checkpoint
from radenhance.command_line.arguments import add_checkpoint_and_root
from radenhance.console import Parser, say
from radenhance.extras import require_extra
from radenhance.inference.int8 import FAKE, FLOAT, INT8, Measured, convert
from radenhance.runs import find_checkpoint


def main(arguments: Sequence[str]) -> None:
    """Run `radenhance quantize`."""
    parser = Parser(
        prog="radenhance quantize",
        description="Convert a checkpoint that was trained with --model.memory.quantization qat to "
        "an int8 model for the CPU, and measure both on the validation radiographs.",
        epilog="example: radenhance quantize --ckpt_path best --root my_radiographs",
    )
    add_checkpoint_and_root(parser, purpose="validate")
    parser.add_argument(
        "--output", type=Path, default=Path("int8.onnx"), help="file to write (int8.onnx)"
    )
    options = parser.parse_args(arguments[1:])
    require_extra("onnx", "radenhance quantize")
    checkpoint = Checkpoint.open(find_checkpoint(options.ckpt_path, Path()))
    measured = convert(checkpoint, options.output, options.root)
    say(report(measured, checkpoint, options.output))


def report(measured: Mapping[str, Measured], checkpoint: Checkpoint, output: Path) -> str:
    """Return the measures as a table, and what to do with the file."""
    float_bytes = checkpoint.num_bytes
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
            f"radenhance predict --ckpt_path {checkpoint.name} --model.int8 {output} "
            f"--data.predict_from FOLDER",
        ]
    )
