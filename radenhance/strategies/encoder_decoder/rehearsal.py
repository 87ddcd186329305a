"""A stage's part of a training step on fake tensors, without the process of the other stage.

It is the step of a fit, `SharedStep`, with the schedule of torch.distributed.pipelining. Only the
peers are others: what is sent to them vanishes, and what they send has shape and type and no value,
which nothing on fake tensors has.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup
from typing_extensions import override

from radenhance.compat.fake_process_group import fake_processes
from radenhance.strategies.encoder_decoder.groups import GROUP_RANK, NUM_STAGES, StageName
from radenhance.strategies.encoder_decoder.logs import capture_logs
from radenhance.strategies.encoder_decoder.network_split import NetworkSplit
from radenhance.strategies.encoder_decoder.options import PipelineOptions
from radenhance.strategies.encoder_decoder.skips import BatchSpec
from radenhance.strategies.encoder_decoder.step import SharedStep
from radenhance.strategies.peers import PeerGroup
from radenhance.strategies.protocol import Phase, PhaseEnded, RehearsedRun, ignore_phase
from radenhance.strategies.sharding import mesh_of, refuse_unsharded_techniques, shard

DEVICE = torch.device("cpu")
"""A CPU plays the GPU of the stage."""


@dataclass(frozen=True)
class LoopbackPeers(PeerGroup):
    """The two processes of a pipeline, of which the other one does not exist.

    The passes of a step exchange one value, the description of the batch. The encoder's process
    makes it of the batch alone, which the decoder's has too.

    Args:
        group: The process group of the two.
        device: Device of the stage.
        specs: The description of the batch, once it is known.
    """

    specs: list[BatchSpec] = field(default_factory=list)

    @override
    def broadcast(self, value: Any, *, source: int) -> Any:
        return self.specs[-1].to_json()


class StagePasses:
    """What the process of a stage does in a training step.

    Args:
        run: What a fit would give the strategy.
        options: Options of the strategy.
        stage: Name of the stage.
        pair: The two processes of the pipeline.
    """

    def __init__(
        self, run: RehearsedRun, options: PipelineOptions, stage: StageName, pair: ProcessGroup
    ) -> None:
        self._run = run
        self._phase_ended: PhaseEnded = ignore_phase
        self.split = NetworkSplit(run.module, options.cut, stem_on_both=options.stem_on_both)
        self.elsewhere = self.split.tensors_elsewhere(stage)
        peers = LoopbackPeers(pair, DEVICE)
        self._step = SharedStep(
            run.module,
            self.split,
            stage,
            peers,
            options=options,
            precision=run.precision,
            pre_backward=_unscaled,
            phase_ended=self._tell,
        )
        with run.mode:
            self.spec = self._step.spec_of(run.batch, 0)
        peers.specs.append(self.spec)

    def run(self, batch: Any, phase_ended: PhaseEnded) -> None:
        """Leave the gradients of a batch in the parameters of the stage."""
        self._phase_ended = phase_ended
        with capture_logs(self._run.module):
            self._step.pass_forth_and_back(batch, 0, num_accumulated=self._run.num_accumulated)

    def tensors(self) -> list[Tensor]:
        """Return the parameters and buffers of the stage, and those outside the network."""
        module = self._run.module
        every = (*module.parameters(), *module.buffers())
        return [tensor for tensor in every if id(tensor) not in self.elsewhere]

    def _tell(self, phase: Phase) -> None:
        self._phase_ended(phase)


@contextmanager
def rehearsed_stage(
    run: RehearsedRun, options: PipelineOptions, stage: StageName
) -> Iterator[StagePasses]:
    """Yield what the process of a stage does in a training step.

    Args:
        run: What a fit would give the strategy.
        options: Options of the strategy.
        stage: Name of the stage.

    Raises:
        UsageError: The network or the batch does not go with the options.
    """
    rank, num = GROUP_RANK[stage], max(run.num_processes, NUM_STAGES)
    options.check(num // NUM_STAGES)
    with fake_processes(rank, num):
        pair = dist.new_group(list(range(NUM_STAGES)))
        replicas = dist.new_group(list(range(rank, num, NUM_STAGES)))
        assert isinstance(pair, ProcessGroup)
        assert isinstance(replicas, ProcessGroup)
        passes = StagePasses(run, options, stage, pair)
        if options.sharded:
            refuse_unsharded_techniques(passes.split.techniques)
            mesh = mesh_of(replicas, DEVICE)
            here = {id(p) for p in passes.split.network.parameters()} - passes.elsewhere
            with run.mode:
                shard(passes.split.network, here, mesh)
        yield passes


def _unscaled(loss: Tensor) -> Tensor:
    """Return the loss: whether a scaler scales it changes no bytes."""
    return loss
