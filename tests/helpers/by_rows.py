"""Training steps by rows in several processes, beside those of one device in the first of them."""

import copy
import os
import sys
from contextlib import nullcontext

import torch
import torch.distributed as dist
import torch.nn.functional as F
from lightning.pytorch.plugins import Precision

from radenhance.dataset.field import OPAQUE
from radenhance.enhancer import ContrastEnhancer, measure
from radenhance.memory.techniques import MemoryTechniques
from radenhance.rows.link import CountingLink, ProcessLink
from radenhance.rows.operators import by_rows
from radenhance.rows.share import RowShare, share_out
from radenhance.strategies.protocol import ignore_phase
from radenhance.strategies.rows.batches import rows_of, share_of, whole_results
from radenhance.strategies.rows.gradients import summed_gradients
from radenhance.strategies.rows.steps import module_by_rows
from radenhance.strategies.whole import WholePasses

NUM_STEPS = 3


def link_of(num):
    rank = int(os.environ["NODE_RANK"])
    dist.init_process_group("gloo", rank=rank, world_size=num)
    return ProcessLink(dist.group.WORLD)


def batch_of(size, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    raw = torch.rand(1, 1, *size, generator=generator, dtype=dtype)
    field = torch.full(raw.shape, OPAQUE, dtype=torch.uint8)
    field[:, :, : size[0] // 3, :20] = 0
    return {"raw": raw, "target": raw.sqrt().flip(3), "field": field, "case": ["1"]}


def module_of(encoder, dtype=torch.float64, **techniques):
    torch.manual_seed(0)
    memory = MemoryTechniques(**techniques)
    module = ContrastEnhancer(encoder, num_scales="auto", l1_share=0.2, memory=memory)
    return module.to(dtype).train()


def train(module, batch, summing=lambda parameters: nullcontext()):
    """Train some steps, and return all that is left of them."""
    optimizer = torch.optim.SGD(module.unet.parameters(), lr=0.001, momentum=0.9)
    for _ in range(NUM_STEPS):
        optimizer.zero_grad()
        with summing(list(module.parameters())):
            WholePasses(module, Precision()).run(batch, ignore_phase)
        optimizer.step()
    gradients = {f"{name}.grad": p.grad for name, p in module.unet.named_parameters()}
    return {**module.unet.state_dict(), **gradients}


def difference(ours, theirs):
    """The largest difference, as a share of the largest number of its tensor."""
    found = {}
    for name, tensor in theirs.items():
        if tensor is not None:
            largest = tensor.double().abs().max().clamp_min(1e-3)
            found[name] = ((ours[name].double() - tensor.double()).abs().max() / largest).item()
    name = max(found, key=found.get)
    return found[name], name


def trained_by_rows(num, cases):
    """Compare steps by rows with those of one device; exits with what differs."""
    link, failures = link_of(num), []
    for encoder, size, techniques in cases:
        batch = batch_of(size)
        module = module_of(encoder, **techniques)
        one = copy.deepcopy(module)
        share = share_of(batch, link)
        with module_by_rows(module, share):
            ours = train(module, rows_of(batch, share), summed_gradients)
        if link.rank == 0:
            largest, name = difference(ours, train(one, batch))
            if not largest < 1e-11:
                failures.append((encoder, size, techniques, share.bounds, largest, name))
    sys.exit(str(failures) if failures else 0)


def rounded_by_rows(num, encoder, size):
    """Exit with how far float32 by rows is from float64, where one device is less than half so."""
    link = link_of(num)
    rounded = batch_of(size, torch.float32)
    exact = {name: one.double() if name in ("raw", "target") else one
             for name, one in rounded.items()}  # fmt: skip
    share = share_of(rounded, link)
    module = module_of(encoder, torch.float32)
    reference, alone = copy.deepcopy(module).double(), copy.deepcopy(module)
    with module_by_rows(module, share):
        ours = train(module, rows_of(rounded, share), summed_gradients)
    if link.rank == 0:
        theirs = train(reference, exact)
        distances = [_distance(one, theirs) for one in (ours, train(alone, rounded))]
        sys.exit(0 if distances[0] < 2 * distances[1] else str(distances))


def _distance(ours, theirs):
    weights = [name for name in theirs if not name.endswith(".grad")]
    squares = [(ours[name].double() - theirs[name].double()).square().sum() for name in weights]
    return sum(squares).sqrt().item()


def measured_by_rows(num, sizes):
    """Compare measures, and images put together again, with those of whole images."""
    link, failures = link_of(num), []
    for size in sizes:
        batch = batch_of(size)
        share = share_of(batch, link)
        rows = rows_of(batch, share)
        whole = measure(batch["raw"], batch["target"], num_scales="auto", l1_share=0.2)
        ours = measure(rows["raw"], rows["target"], num_scales="auto", l1_share=0.2, share=share)
        for name, value in whole.items():
            if not torch.allclose(ours[name], value, rtol=1e-12, atol=0):
                failures.append((size, name, ours[name].item(), value.item()))
        again = whole_results({"enhanced": rows["raw"]}, share)["enhanced"]
        if not torch.equal(again, batch["raw"]):
            failures.append((size, "whole"))
    sys.exit(str(failures) if failures else 0)


def counted_by_rows(num, encoder, size, techniques):
    """Compare what a step sends with what it would send to processes that do not exist."""
    link = link_of(num)
    counting = CountingLink(link.rank, num)
    module, batch = module_of(encoder, **techniques), batch_of(size)
    for one in (link, counting):
        share = share_of(batch, one)
        with module_by_rows(module, share):
            WholePasses(module, Precision()).run(rows_of(batch, share), ignore_phase)
    counts = [(one.sent_bytes, one.summed_bytes, one.num_messages) for one in (link, counting)]
    sys.exit(0 if counts[0] == counts[1] and counts[0][0] else str(counts))


def operators():
    """Functions of a map of four channels, and of weights that they make by themselves."""

    def random(*shape):
        generator = torch.Generator().manual_seed(sum(shape))
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def conv(kernel, channels=4, **options):
        weight, bias = random(6, channels, *kernel), random(6)
        options.setdefault("groups", 4 // channels)
        weight = weight[: 6 // options["groups"] * options["groups"]]
        bias = bias[: len(weight)]
        return lambda x: F.conv2d(x, weight, bias, **options)

    def transposed(kernel, **options):
        return lambda x: F.conv_transpose2d(x, random(4, 3, *kernel), random(3), **options)

    return {
        "3x3": conv((3, 3), padding=1),
        "1x1": conv((1, 1)),
        "1x1, stride 2": conv((1, 1), stride=2),
        "2x2, stride 2": conv((2, 2), stride=2),
        "3x3, stride 2": conv((3, 3), stride=2, padding=1),
        "4x4, stride 4": conv((4, 4), stride=4),
        "5x5": conv((5, 5), padding="same"),
        "7x7, stride 2": conv((7, 7), stride=2, padding=3),
        "3x3, dilation 3": conv((3, 3), padding=3, dilation=3),
        "7x1": conv((7, 1), padding=(3, 0)),
        "1x7": conv((1, 7), padding=(0, 3)),
        "3x3, two groups": conv((3, 3), channels=2, padding=1),
        "7x7, of each channel": conv((7, 7), channels=1, padding=3),
        "transposed 4x4": transposed((4, 4), stride=2, padding=1),
        "transposed 2x2": transposed((2, 2), stride=2),
        "transposed 3x3": transposed((3, 3), stride=2, padding=1, output_padding=1),
        "maxima 3x3": lambda x: F.max_pool2d(x, 3, 2, 1),
        "maxima 3x3 beyond the edge": lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True),
        "maxima 2x2": lambda x: F.max_pool2d(x, 2),
        "maxima 5x5": lambda x: F.max_pool2d(x, 5, 1, 2),
        "means 2x2": lambda x: F.avg_pool2d(x, 2),
        "nearest": lambda x: F.interpolate(x, scale_factor=2, mode="nearest"),
        "bilinear": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
        "bilinear, 4": lambda x: F.interpolate(x, scale_factor=4, mode="bilinear"),
        "gate": lambda x: x * F.adaptive_avg_pool2d(x, 1).sigmoid(),
        "mean": lambda x: x * x.mean((2, 3), keepdim=True),
        "BatchNorm": lambda x: F.batch_norm(x, None, None, random(4), random(4), True),
        "GroupNorm": lambda x: F.group_norm(x, 2, random(4), random(4)),
    }


def operators_by_rows(num, rows, columns, strides):
    """Compare functions of rows, and their gradients, with those of whole maps."""
    link, failures = link_of(num), []
    share = RowShare(link, share_out(rows, columns, num), columns)
    for stride in strides:
        bounds = share.bounds_at(stride)
        own = slice(bounds[link.rank], bounds[link.rank + 1])
        generator = torch.Generator().manual_seed(stride)
        shape = (2, 4, bounds[-1], -(-columns // 32) * 32 // stride)
        whole = torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
        part = whole.detach()[:, :, own].clone().requires_grad_()
        for name, function in operators().items():
            expected = function(whole)
            if not bounds[-1] * stride // 32 <= expected.shape[2] <= bounds[-1] * stride:
                continue  # beyond the smallest or the largest map
            with by_rows(share):
                result = function(part)
            size = expected.shape[2] * own.start // bounds[-1], len(result[0, 0])
            of_whole = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
            here = slice(size[0], size[0] + size[1])
            (theirs,) = torch.autograd.grad(expected, whole, of_whole)
            (ours,) = torch.autograd.grad(result, part, of_whole[:, :, here].contiguous())
            pairs = ((result, expected[:, :, here]), (ours, theirs[:, :, own]))
            worst = max((a - b).abs().max().item() for a, b in pairs)
            if not worst < 1e-11:
                failures.append((stride, name, worst))
    sys.exit(str(failures) if failures else 0)
