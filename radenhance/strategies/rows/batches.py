"""Batches of which a process keeps its rows, and results that are put together again.

Every process reads the whole images of a batch, on its CPU, and keeps its rows. Nothing of them
crosses the network: sent around, the images of a step would be as many bytes as all else that rows
need. What the processes read must then be the same, which is checked: the order of draws and their
augmentation depend on seed, epoch and index alone.
"""

from typing import Any

import torch
from torch import Tensor

from radenhance.errors import UsageError
from radenhance.rows.link import Link
from radenhance.rows.share import WHOLE, RowShare, Share, share_out
from radenhance.strategies.leaves import leaves_in, map_leaves

SAMPLED = 61
"""Every so many rows and columns a pixel is compared; a prime, that no pattern has."""


def share_of(batch: Any, link: Link) -> Share:
    """Return which rows of a batch's images this process has, `WHOLE` where there are none.

    There are none in a batch with images of several sizes, such as those of a prediction from
    reduced images: each process has all of these.

    Args:
        batch: Dicts, lists and tuples of tensors, in which images have the shape (N, C, H, W).
        link: The processes that share an image.

    Raises:
        ImageSizeError: The images have too few rows.
    """
    sizes = {tuple(image.shape[2:]) for image in leaves_in(batch, Tensor) if image.dim() == 4}
    if len(sizes) != 1:
        return WHOLE
    rows, columns = sizes.pop()
    return RowShare(link, share_out(rows, columns, link.num_processes), columns)


def rows_of(batch: Any, share: Share) -> Any:
    """Return a batch with the rows of this process of every image."""
    if not isinstance(share, RowShare):
        return batch
    # copies, or the whole images would stay beside them
    return map_leaves(
        lambda leaf: leaf[:, :, share.own].clone() if _is_image(leaf) else leaf, batch
    )


def refuse_other_images(batch: Any, link: Link, device: torch.device) -> None:
    """Refuse batches that differ from process to process.

    Args:
        batch: The whole batch.
        link: The processes that share an image.
        device: Device from which they send.

    Raises:
        UsageError: In all processes.
    """
    images = [leaf for leaf in leaves_in(batch, Tensor) if _is_image(leaf)]
    sides = [sum(image.shape[axis] for image in images) for axis in range(4)]
    samples = [image[..., ::SAMPLED, ::SAMPLED].double().sum().item() for image in images]
    marks = torch.tensor([len(images), *sides, sum(samples)], dtype=torch.float64)
    everyones = link.gather(marks.to(device))
    if not bool((everyones == everyones[0]).all()):
        raise UsageError(
            "the processes of an image have read different images; give all of them the same "
            "dataset and flags, and a data module whose random numbers depend on seed, epoch and "
            "index alone"
        )


def whole_results(results: Any, share: Share) -> Any:
    """Return what a step returned with whole images in place of rows, on the CPU.

    Args:
        results: Dicts, lists and tuples; rows of images have the shape (N, C, H, W).
        share: Which rows of the image they are.
    """
    if not isinstance(share, RowShare):
        return results
    num_rows = share.own.stop - share.own.start

    def whole(leaf: Any) -> Any:
        is_share = _is_image(leaf) and tuple(leaf.shape[2:]) == (num_rows, share.columns)
        return _whole(leaf, share).cpu() if is_share else leaf

    return map_leaves(whole, results)


def _whole(rows: Tensor, share: RowShare) -> Tensor:
    """Return the whole image."""
    bounds = share.bounds
    shape = (*rows.shape[:2], max(b - a for a, b in zip(bounds, bounds[1:], strict=False)))
    padded = rows.new_zeros((*shape, rows.shape[3]))
    padded[:, :, : rows.shape[2]] = rows
    everyones = share.link.gather(padded)
    parts = [
        part[:, :, : last - first]
        for part, first, last in zip(everyones, bounds, bounds[1:], strict=False)
    ]
    return torch.cat(parts, dim=2)


def _is_image(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.dim() == 4
