"""What a fit says last: its best epoch beside the raw image, where it is, the next command."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from radenhance import metric_names
from radenhance.callbacks.epoch_lines import beside_raw
from radenhance.callbacks.run_folder import BEST_BY, MONITOR

MEASURES = (("loss", metric_names.LOSS, 3), ("MS-SSIM", metric_names.MS_SSIM, 4))
"""Title, name and digits of a measure."""


def summary(report: Mapping[str, Any], folder: Path, root: Path | None) -> str:
    """Return the last lines of a fit.

    Args:
        report: What its run.json holds.
        folder: Folder of the run.
        root: Folder of the data as the flags named it; None for the default.
    """
    lines = []
    best, raw = report.get("best", {}), report.get("raw", {})
    measured = [
        beside_raw(title, best[name], raw.get(name), digits)
        for title, name, digits in MEASURES
        if name in best
    ]
    if measured:
        by = report.get(BEST_BY, {}).get(MONITOR, metric_names.VAL_LOSS)
        said = "" if by == metric_names.VAL_LOSS else f" by {by}"
        lines.append(f"Best validation{said}, epoch {best['epoch'] + 1}: {', '.join(measured)}")
    seconds = [f"{report['seconds']:.0f} s"] if "seconds" in report else ["no step was taken"]
    peaks = [f"{mib:.0f} MiB {source}" for source, mib in report.get("peak_mib", {}).items()]
    lines.append(f"Run: {folder} ({', '.join([*seconds, *peaks])})")
    checkpoint = folder / "checkpoints/best.ckpt"
    if checkpoint.is_file():
        data = "" if root is None else f" --root {shlex.quote(str(root))}"
        named = shlex.quote(str(checkpoint))
        lines.append(f"Next: radenhance showcase --ckpt_path {named}{data}")
    return "\n".join(lines)
