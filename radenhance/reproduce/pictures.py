"""Bars of memory, and the best and worst validation images.

A loss does not say what went wrong in an image: the paper therefore shows the original's best and
worst image, and so do we, with the difference to a technique's beside them. The bars are written as
SVG by hand, a few rectangles each: no library that we have draws any.
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

DIFFERENCE_GAIN = 4
FORWARD, BACKWARD = "#3b6ea5", "#d98c3f"
ROW, LABEL, WIDTH = 22, 170, 420


@dataclass(frozen=True)
class Bars:
    """A figure of bars.

    Args:
        number: Number of the paper's figure.
        title: Heading that says what it shows.
        svg: Picture as SVG.
    """

    number: str
    title: str
    svg: str


def bars(results: Results) -> list[Bars]:
    """Return Figures 2, 4 and 5 at each size of the tables of memory."""
    made = []
    for number, wanted in BAR_FIGURES.items():
        recipes = [name for name in wanted if name in results.study.recipes]
        if len(recipes) < 2:
            continue
        for size in results.study.memory_sizes:
            title = (
                f"Figure {number}. Memory of forward and backward phase at {size} px, relative to "
                f"{title_of(recipes[0])} ({results.memory(recipes[0], size).origin})"
            )
            made.append(Bars(number, title, _svg(results, recipes, size)))
    return made


def _svg(results: Results, recipes: Sequence[str], size: int) -> str:
    base = results.memory(recipes[0], size).total_mib
    bottom = ROW * len(recipes) + 18
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LABEL + WIDTH + 60}" '
        f'height="{bottom + 6}" font-family="sans-serif" font-size="12">'
    ]
    for i, recipe in enumerate(recipes):
        memory = results.memory(recipe, size)
        shares = (memory.forward_mib / base, memory.backward_mib / base)
        parts.append(_bar(title_of(recipe), shares, top=i * ROW + 4))
    parts.append(
        f'<text x="{LABEL}" y="{bottom}" fill="{FORWARD}">forward</text>'
        f'<text x="{LABEL + 60}" y="{bottom}" fill="{BACKWARD}">backward</text></svg>'
    )
    return "".join(parts)


def _bar(name: str, shares: tuple[float, float], *, top: int) -> str:
    """Return a name, its bar of two parts, and their sum."""
    drawn = f'<text x="{LABEL - 6}" y="{top + 12}" text-anchor="end">{in_html(name)}</text>'
    left: float = LABEL
    for share, color in zip(shares, (FORWARD, BACKWARD), strict=True):
        length = share * WIDTH * 0.8
        drawn += f'<rect x="{left:.1f}" y="{top}" width="{length:.1f}" height="15" fill="{color}"/>'
        left += length
    return f'{drawn}<text x="{left + 4:.1f}" y="{top + 12}">{sum(shares):.2f}</text>'


@dataclass(frozen=True)
class Picture:
    """A figure of images.

    Args:
        title: Heading that says what it shows.
        path: PNG file.
    """

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
            write_contact_sheet(path, _rows(theirs, _enhanced(runs[0]), title_of(recipe)))
            title = (
                f"Figure {number}. Best and worst validation image of the original, beside those "
                f"of {title_of(recipe)}"
            )
            made.append(Picture(title, path))
    return made


@dataclass(frozen=True)
class _Enhanced:
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
                batch["target"][0, 0].numpy(),
                image[0, 0].numpy(),
                measures[metric_names.MS_SSIM].item(),
                measures[metric_names.PSNR].item(),
            )
        )
    return found


def _rows(original: list[_Enhanced], ours: list[_Enhanced], name: str) -> list[Row]:
    order = sorted(range(len(original)), key=lambda i: original[i].ms_ssim)
    rows = []
    for title, i in (("best", order[-1]), ("worst", order[0])):
        plain, mine = original[i], ours[i]
        difference = np.abs(mine.image - plain.image) * DIFFERENCE_GAIN
        rows.append(
            Row(
                f"{title} of {len(order)} validation images",
                [plain.target, plain.image, mine.image, difference.clip(0, 1)],
                [
                    "target",
                    f"Original: MS-SSIM {plain.ms_ssim:.4f}, {plain.psnr:.1f} dB",
                    f"{name}: MS-SSIM {mine.ms_ssim:.4f}, {mine.psnr:.1f} dB",
                    f"their difference, {DIFFERENCE_GAIN} times",
                ],
            )
        )
    return rows
