"""Functions for two processes in one gloo group, the decoder's and the encoder's."""

import os
from contextlib import nullcontext
from datetime import timedelta

import torch
import torch.distributed as dist
from processes import run_nodes
from torch import nn
from torch.distributed import ProcessGroup

from radenhance.strategies.encoder_decoder.loader import broadcast_loader
from radenhance.strategies.encoder_decoder.precision import norm_over_stages
from radenhance.strategies.peers import PeerGroup

CPU = torch.device("cpu")


def in_a_pair(function, folder):
    """Return what `function(rank, peers)` returns in each of two processes."""
    run_nodes(_in_a_group, function, str(folder / "of"), folder=folder / "run")
    return [torch.load(folder / f"of-{rank}.pt", weights_only=False) for rank in range(2)]


def _in_a_group(function, result):
    rank = int(os.environ["NODE_RANK"])
    dist.init_process_group("gloo", rank=rank, world_size=2, timeout=timedelta(seconds=60))
    assert isinstance(dist.group.WORLD, ProcessGroup)
    torch.save(function(rank, PeerGroup(dist.group.WORLD, CPU)), f"{result}-{rank}.pt")
    dist.destroy_process_group()
    return 0


class Reading:
    """A loader that counts how often it is read, and has a position."""

    batch_size = 2

    def __init__(self):
        self.num_read = 0

    def __len__(self):
        return 2

    def __iter__(self):
        for i in range(2):
            self.num_read += 1
            yield {"raw": torch.full((2, 1), float(i)).double(), "case": [f"{i}a", f"{i}b"]}

    def state_dict(self):
        return {"num_read": self.num_read}

    def load_state_dict(self, state):
        self.num_read = state["num_read"]


def batches(rank, peers):
    """Iterate twice over a loader that both have; a context is entered around each exchange."""
    loader, entered = Reading(), []

    def guard():
        entered.append(rank)
        return nullcontext()

    both = broadcast_loader(loader, peers, guard)
    epochs = [list(both) for _ in range(2)]
    return {"epochs": epochs, "num_read": loader.num_read, "exchanges": len(entered)}


def values(rank, peers):
    """Exchange what the other process does not have."""
    own = {"rank": rank, "nested": [torch.arange(3) + rank, (None, torch.tensor(True))]}
    of_decoder = peers.broadcast(own if rank == 0 else None, source=0)
    of_encoder = peers.broadcast(own if rank == 1 else "ignored", source=1)
    return of_decoder, of_encoder, peers.gather(("rank", rank))


def norms(rank, peers):
    """Return the norm over both stages of gradients of which each process has some."""
    parameters, gradients = stage_gradients()
    for i, gradient in enumerate(gradients):
        if i % 2 == rank:
            parameters[i].grad = gradient
    return norm_over_stages(parameters, peers.group, CPU)


def stage_gradients():
    torch.manual_seed(0)
    gradients = [torch.randn(7) for _ in range(30)]
    return [nn.Parameter(torch.zeros(7)) for _ in gradients], gradients
