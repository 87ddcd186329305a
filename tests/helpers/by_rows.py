"""Training steps by rows in several processes, beside those of one device in the first of them."""

import copy
import os
import sys

import torch
import torch.distributed as dist
from lightning.pytorch.plugins import Precision

from radenhance.dataset.field import OPAQUE
from radenhance.enhancer import ContrastEnhancer, measure
from radenhance.memory.techniques import MemoryTechniques
from radenhance.rows.link import CountingLink, ProcessLink
from radenhance.strategies.protocol import ignore_phase
from radenhance.strategies.rows.batches import rows_of, share_of, whole_results
from radenhance.strategies.rows.steps import buckets_of, module_by_rows
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


def train(module, batch, sum_gradients=lambda module: None):
    """Train some steps, and return all that is left of them."""
    optimizer = torch.optim.SGD(module.unet.parameters(), lr=0.001, momentum=0.9)
    for _ in range(NUM_STEPS):
        optimizer.zero_grad()
        WholePasses(module, Precision()).run(batch, ignore_phase)
        sum_gradients(module)
        optimizer.step()
    gradients = {f"{name}.grad": p.grad for name, p in module.unet.named_parameters()}
    return {**module.unet.state_dict(), **gradients}


def sum_gradients(module):
    for bucket in buckets_of(list(module.parameters())):
        for gradient in bucket:
            dist.all_reduce(gradient)


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
            ours = train(module, rows_of(batch, share), sum_gradients)
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
        ours = train(module, rows_of(rounded, share), sum_gradients)
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
