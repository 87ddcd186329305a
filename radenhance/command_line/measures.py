"""What `validate` and `test` measured, as a table: the network beside the raw image."""

from collections.abc import Mapping

from radenhance import metric_names

TITLES = {
    metric_names.MS_SSIM: "MS-SSIM, 1 for equal images",
    metric_names.SSIM: "SSIM, 1 for equal images",
    metric_names.PSNR: "PSNR, dB",
    metric_names.MAE: "mean absolute error, of 0 to 1",
    metric_names.LOSS: "loss",
}
NAME, CELL = 32, 13


def measures_table(measures: Mapping[str, float], split: str) -> str:
    """Return a table of means.

    Args:
        measures: What was logged, by name.
        split: What stands before the names of the network's, val or test.
    """
    left = dict(measures)
    title = f"mean of the {split} radiographs"
    lines = [f"{title:<{NAME}}{'network':>{CELL}}{'raw image':>{CELL}}   logged as"]
    for measure, title in TITLES.items():
        names = f"{split}/{measure}", f"{metric_names.IDENTITY}/{measure}"
        if names[0] not in left:
            continue
        values = [left.pop(name, None) for name in names]
        lines.append(f"{title:<{NAME}}{_cells(*values)}   {', '.join(names)}")
    lines += [f"{name:<{NAME}}{_cells(value)}" for name, value in sorted(left.items())]
    return "\n".join(lines)


def _cells(*values: float | None) -> str:
    return "".join(f"{'' if value is None else f'{value:.4f}':>{CELL}}" for value in values)
