"""Bars of memory, and the best and worst validation images.

A loss does not say what went wrong in an image: the paper therefore shows the original's best and
worst image, and so do we, with raw image and target beside them. The bars are written as SVG by
hand, a few rectangles each: no library that we have draws any.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from radenhance import metric_names
from radenhance.checkpoint import Checkpoint
from radenhance.contact_sheet import Row, write_contact_sheet
from radenhance.datamodule import RadiographDataModule
from radenhance.enhancer import ContrastEnhancer, measure
from radenhance.foreign_text import in_html
from radenhance.reproduce.paper import BAR_FIGURES, IMAGE_FIGURES, ORIGINAL, title_of
from radenhance.reproduce.results import Results
from radenhance.reproduce.study import Run

FORWARD, BACKWARD, AXIS = "#3b6ea5", "#b3631a", "#555"
ROW, LABEL, TOP, PANEL, GAP = 22, 210, 52, 240, 24
ROOM = 34
"""Room for the number behind the longest bar, in pixels."""
TICKS = (0, 0.5, 1)


@dataclass(frozen=True)
class Bars:
    """A figure of bars.

    Args:
        number: Number of the paper's figure.
        title: Heading that says what it shows, also inside the picture.
        svg: Picture as SVG.
    """

    number: str
    title: str
    svg: str


def bars(results: Results) -> list[Bars]:
    """Return Figures 2, 4 and 5, each with a panel for each size of the tables of memory."""
    made = []
    for number, wanted in BAR_FIGURES.items():
        recipes = [name for name in wanted if name in results.study.recipes]
        if len(recipes) < 2:
            continue
        sizes = results.study.memory_sizes
        origins = dict.fromkeys(results.memory(recipes[0], size).origin for size in sizes)
        title = (
            f"Figure {number}. Memory of forward and backward phase, relative to "
            f"{title_of(recipes[0])} ({' and '.join(origins)})"
        )
        made.append(Bars(number, title, _svg(results, recipes, title)))
    return made


def _svg(results: Results, recipes: Sequence[str], title: str) -> str:
    """Return the panels side by side, with one column of names and one legend for all."""
    sizes = results.study.memory_sizes
    width, bottom = LABEL + len(sizes) * (PANEL + GAP), TOP + ROW * len(recipes)
    names = [
        f'<text x="{LABEL - 8}" y="{TOP + i * ROW + 16}" text-anchor="end">'
        f"{in_html(title_of(recipe))}</text>"
        for i, recipe in enumerate(recipes)
    ]
    panels = [
        _panel(results, recipes, size, left=LABEL + i * (PANEL + GAP), bottom=bottom)
        for i, size in enumerate(sizes)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 44}" '
        f'width="{width}" height="{bottom + 44}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>'
        f'<text x="8" y="18" font-weight="bold">{in_html(title)}</text>{"".join(names)}'
        f"{''.join(panels)}{_legend(bottom + 38)}</svg>"
    )


def _legend(y: int) -> str:
    return "".join(
        f'<text x="{LABEL + 100 * i}" y="{y}" fill="{color}" font-weight="bold">{name}</text>'
        for i, (name, color) in enumerate((("forward", FORWARD), ("backward", BACKWARD)))
    )


def _panel(results: Results, recipes: Sequence[str], size: int, *, left: int, bottom: int) -> str:
    """Return the bars of one size on their axis, from 0 to the longest of them."""
    base = results.memory(recipes[0], size).total_mib
    shares = []
    for recipe in recipes:
        memory = results.memory(recipe, size)
        shares.append((memory.forward_mib / base, memory.backward_mib / base))
    scale = (PANEL - ROOM) / max(sum(pair) for pair in shares)
    parts = [f'<text x="{left}" y="{TOP - 8}">{size} px: {base:.0f} MiB</text>']
    for i, pair in enumerate(shares):
        parts.append(_bar(pair, scale, left=left, top=TOP + i * ROW + 3))
    parts.append(f'<path d="M{left} {TOP}V{bottom}H{left + PANEL}" fill="none" stroke="{AXIS}"/>')
    for tick in TICKS:
        x = left + tick * scale
        parts.append(
            f'<path d="M{x:.1f} {bottom}v4" stroke="{AXIS}"/>'
            f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{tick:g}</text>'
        )
    return "".join(parts)


def _bar(shares: tuple[float, float], scale: float, *, left: float, top: int) -> str:
    """Return a bar of two parts, and their sum."""
    drawn = ""
    for share, color in zip(shares, (FORWARD, BACKWARD), strict=True):
        length = share * scale
        drawn += f'<rect x="{left:.1f}" y="{top}" width="{length:.1f}" height="16" fill="{color}"/>'
        left += length
    return f'{drawn}<text x="{left + 4:.1f}" y="{top + 13}">{sum(shares):.2f}</text>'


@dataclass(frozen=True)
class Picture:
    """A figure of images.

    Args:
        number: Number of the paper's figure.
        title: Heading that says what it shows.
        path: PNG file.
    """

    number: str
    title: str
    path: Path


def pictures(results: Results, folder: Path) -> list[Picture]:
    """Write Figures 3, 6 and 7, of the first seed at the first size."""
    size = results.study.sizes[0]
    original = results.runs.get((ORIGINAL, size))
    if not original:
        return []
    made = []
    theirs = _enhanced(original[0])
    for number, recipe in IMAGE_FIGURES.items():
        runs = results.runs.get((recipe, size))
        if runs:
            path = folder / f"figure_{number}.png"
            title = (
                f"Figure {number}. The original's best and worst validation image, and "
                f"{title_of(recipe)} of the same"
            )
            rows = _rows(theirs, _enhanced(runs[0]), title_of(recipe), f"Figure {number}")
            write_contact_sheet(path, rows)
            made.append(Picture(number, title, path))
    return made


@dataclass(frozen=True)
class _Enhanced:
    raw: npt.NDArray[np.float32]
    target: npt.NDArray[np.float32]
    image: npt.NDArray[np.float32]
    ms_ssim: float
    psnr: float


@torch.inference_mode()
def _enhanced(run: Run) -> list[_Enhanced]:
    assert run.checkpoint is not None
    checkpoint = Checkpoint.open(run.checkpoint)
    network = ContrastEnhancer.from_checkpoint(checkpoint).eval()
    data = RadiographDataModule(run.study.data, num_workers=0, **checkpoint.input)
    data.setup("validate")
    found = []
    for batch in data.val_dataloader():
        image = network.enhanced(batch).clamp(0, 1)
        measures = measure(image, batch["target"], num_scales=network.num_scales)
        found.append(
            _Enhanced(
                batch["raw"][0, 0].numpy(),
                batch["target"][0, 0].numpy(),
                image[0, 0].numpy(),
                measures[metric_names.MS_SSIM].item(),
                measures[metric_names.PSNR].item(),
            )
        )
    return found


def _rows(original: list[_Enhanced], ours: list[_Enhanced], name: str, figure: str) -> list[Row]:
    order = sorted(range(len(original)), key=lambda i: original[i].ms_ssim)
    rows = []
    for title, i in (("best", order[-1]), ("worst", order[0])):
        plain, mine = original[i], ours[i]
        rows.append(
            Row(
                f"{figure}: the original's {title} of {len(order)} validation images",
                [plain.raw, plain.target, plain.image, mine.image],
                [
                    "raw, as the network sees it",
                    "target",
                    f"Original: MS-SSIM {plain.ms_ssim:.4f}, {plain.psnr:.1f} dB",
                    f"{name}: MS-SSIM {mine.ms_ssim:.4f}, {mine.psnr:.1f} dB",
                ],
            )
        )
    return rows
