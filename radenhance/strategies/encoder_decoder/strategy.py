"""Encoder and decoder of a U-Net on two devices, under an ordinary LightningModule.

    trainer = Trainer(strategy="encoder_decoder", devices=1, num_nodes=2)

    rank 1   reads    encoder  ------ skips ----->  decoder    rank 0
             nothing           <--- gradients ----  loss       reads batches, logs, checkpoints

The whole module is in both processes, and only the tensors of the stage that runs there are on its
device: weights are little beside activations. Optimizers, schedulers and checkpoints are then those
of one device. Four things differ from Lightning's other strategies, for this reason:

- Forward and backward passes are one (`schedule.py`), so Lightning's own backward pass is left out,
  and gradients are set to zero here.
- Both processes do a step together, and both run all of it but for the network (`step.py`).
- What hooks of rank 0 decide, rules in both (`agreement.py`).
- Both decide together on norms and overflows of gradients (`precision.py`).
"""

import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from typing import Any

import torch.distributed as dist
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.strategies import StrategyRegistry
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from torchmetrics import Metric
from typing_extensions import override

from radenhance.compat.lightning import (
    callbacks_of,
    is_accumulating,
    leave_out_backward,
    seed_workers,
    zero_gradients,
)
from radenhance.errors import UsageError
from radenhance.strategies.config_check import check_agreement, settings_of, training_settings_of
from radenhance.strategies.encoder_decoder.agreement import Agreement
from radenhance.strategies.encoder_decoder.groups import GROUP_RANK, STAGES, StageName
from radenhance.strategies.encoder_decoder.loader import BroadcastLoader, broadcast_loader
from radenhance.strategies.encoder_decoder.network_split import NetworkSplit
from radenhance.strategies.encoder_decoder.options import (
    FIRST_DECODER_STAGE,
    PipelineOptions,
    ScheduleName,
)
from radenhance.strategies.encoder_decoder.precision import (
    decide_together,
    norm_over_stages,
)
from radenhance.strategies.encoder_decoder.processes import ProcessPairStrategy
from radenhance.strategies.encoder_decoder.random_numbers import OwnStream
from radenhance.strategies.encoder_decoder.refusals import (
    refuse_joint_optimizer,
    refuse_unsupported,
)
from radenhance.strategies.encoder_decoder.rehearsal import StagePasses, rehearsed_stage
from radenhance.strategies.encoder_decoder.step import SharedStep
from radenhance.strategies.leaves import map_leaves
from radenhance.strategies.peers import PeerGroup
from radenhance.strategies.protocol import RehearsedRun
from radenhance.strategies.sharding import (
    broadcast_from_first,
    full_on_cpu,
    full_tensor,
    full_weights,
    is_sharded,
    mesh_of,
    refuse_unsharded_techniques,
    shard,
    shard_state,
)

NAME = "encoder_decoder"


class EncoderDecoderStrategy(ProcessPairStrategy):
    """Runs the encoder on one device and the decoder on another.

    Args:
        micro_batch_size: Images that go through the pipeline at a time. BatchNorm sees that many,
            as it does under gradient accumulation. It must divide the batch in training.
        schedule: gpipe runs all micro-batches forwards, then all backwards; 1f1b alternates, and
            holds two micro-batches at most; auto is 1f1b where there are two or more.
        cut: First stage of the decoder's device; another one than decoder0 moves the balance. With
            auto, `radenhance fit` takes the one with which the fuller GPU needs least.
        bfloat16_transfer: Whether float32 features and gradients are sent as bfloat16: half the
            bytes, not exact.
        stem_on_both: Whether the decoder's device runs the first stage of a ResNet, too, whose skip
            is two thirds of the bytes; the sum of its gradients is rounded in another order.
        sharded: Whether parameters, gradients and optimizer state are sharded over the pipelines,
            of which there must be several (FSDP2): less memory, more traffic between them.
        process_group_backend: nccl or gloo, or null for the one that suits the device.
        timeout_s: Seconds without a sign of life of another process after which a run ends.
    """

    strategy_name = NAME
    stages = STAGES

    def __init__(
        self,
        micro_batch_size: int = 1,
        schedule: ScheduleName = "auto",
        cut: str = FIRST_DECODER_STAGE,
        bfloat16_transfer: bool = False,
        sharded: bool = False,
        stem_on_both: bool = False,
        process_group_backend: str | None = None,
        timeout_s: float = 600.0,
    ) -> None:
        super().__init__(process_group_backend, timeout_s)
        self.options = PipelineOptions(
            micro_batch_size, schedule, cut, bfloat16_transfer, stem_on_both, sharded
        )

    # before a fit

    @override
    def setup(self, trainer: Trainer) -> None:
        module = self._module
        assert self.accelerator is not None
        self.accelerator.setup(trainer)
        refuse_unsupported(trainer, module)
        self.options.check(self.num_replicas)
        self._split = NetworkSplit(module, self.options.cut, stem_on_both=self.options.stem_on_both)
        with self.watching():
            settings = settings_of(asdict(self.options), self._split.techniques, trainer, module)
            check_agreement(PeerGroup.of_all(self.root_device).gather(settings))
        self.model = self.precision_plugin.convert_module(module)
        self._elsewhere = self._split.tensors_elsewhere(self.stage_name)
        if not is_sharded(module):  # where an earlier run has sharded it, all are equal already
            with self.watching():
                self._copy_from_rank_zero()
        self.model_to_device()
        if self.options.sharded:
            self._shard()
        self._agreement = Agreement(self._peers, self.watching, self.fail)
        callbacks_of(trainer).insert(0, self._agreement)
        if trainer.state.fn == TrainerFn.FITTING:
            self.setup_optimizers(trainer)
            self._agree_on_training(trainer)
            leave_out_backward(trainer)
        self.setup_precision_plugin()
        everyone = dist.group.WORLD if self.options.sharded else self._groups.team
        decide_together(
            self.precision_plugin, self._groups.team, self.root_device, everyone, self._of_both
        )
        if trainer.state.fn == TrainerFn.FITTING:
            for optimizer in self.optimizers:  # an earlier fit may have left its state on the CPU
                optimizer.load_state_dict(optimizer.state_dict())
        self._step = SharedStep(
            module,
            self._split,
            self.stage_name,
            self._peers,
            options=self.options,
            precision=self.precision_plugin,
            pre_backward=lambda loss: self.precision_plugin.pre_backward(loss, module),
            phase_ended=lambda phase: self.phase_ended(phase),
        )
        self._step.stream = OwnStream(self.root_device, STAGES.index(self.stage_name))
        self._leave_writing_to_decoder(trainer)
        self._let_metrics_reduce_over(self._groups.replicas)
        if self.num_replicas == 1:  # what is logged is the same on both processes
            warnings.filterwarnings("ignore", message="It is recommended to use `self.log")

    def _agree_on_training(self, trainer: Trainer) -> None:
        for optimizer in self.optimizers:
            refuse_joint_optimizer(optimizer)
        with self.watching():
            everyone = PeerGroup.of_all(self.root_device).gather(training_settings_of(trainer))
        check_agreement(everyone)

    def _leave_writing_to_decoder(self, trainer: Trainer) -> None:
        """Let one process of a pair write predictions, which both have."""
        if not self.writes_results:
            callbacks = callbacks_of(trainer)
            callbacks[:] = [one for one in callbacks if not isinstance(one, BasePredictionWriter)]

    def _of_both(self) -> set[int]:
        """Return the ids of parameters with gradients in both, which the decoder counts."""
        if self.stage_name == "decoder":
            return set()
        inside = {id(parameter) for parameter in self._split.network.parameters()}
        outside = {id(parameter) for parameter in self._module.parameters()} - inside
        return outside | self._split.tensors_of_both()

    def _shard(self) -> None:
        refuse_unsharded_techniques(self._split.techniques)
        self._split.keep_shapes()
        here = {id(p) for p in self._split.network.parameters()} - self._elsewhere
        shard(self._split.network, here, mesh_of(self._groups.replicas, self.root_device))

    def _let_metrics_reduce_over(self, group: ProcessGroup | None) -> None:
        """Reduce metrics over replicas: the two of a pipeline have the same states."""
        for part in self._module.modules():
            if isinstance(part, Metric):
                part.process_group = group

    @override
    def model_to_device(self) -> None:
        """Move the tensors that are not of the other stage alone."""
        self._move(self._module)

    def _move(self, part: nn.Module) -> None:
        """Move `part` as a whole where nothing in it is of the other stage, as metrics require."""
        if not any(id(t) in self._elsewhere for t in (*part.parameters(), *part.buffers())):
            part.to(self.root_device)
            return
        for child in part.children():
            self._move(child)
        for tensor in (*part.parameters(recurse=False), *part.buffers(recurse=False)):
            if id(tensor) not in self._elsewhere:
                tensor.data = tensor.data.to(self.root_device)

    @property
    def _module(self) -> LightningModule:
        assert self.lightning_module is not None
        return self.lightning_module

    def _copy_from_rank_zero(self) -> None:
        for tensor in (*self._module.parameters(), *self._module.buffers()):
            moved = tensor.data.to(self.root_device)
            dist.broadcast(moved, 0)
            tensor.data.copy_(moved)

    # data

    @override
    def process_dataloader(self, dataloader: Any) -> BroadcastLoader:
        with self.watching():
            told = PeerGroup.of_all(self.root_device).gather([_length(dataloader)])
        lengths = [length for (length,) in told]
        if len(set(lengths)) > 1:
            raise UsageError(
                f"the processes have loaders of {' and '.join(map(str, lengths))} batches, "
                f"expected the same number; give all of them the same data"
            )
        # Lightning would count the encoder as a rank of its own, and seed workers by it
        seed_workers(dataloader, self.replica)
        return broadcast_loader(dataloader, self._peers, self.watching)

    # steps

    @override
    def training_step(self, batch: Any, batch_idx: int, *more: Any) -> Any:
        """Run forward and backward passes of a batch on both devices; return its result."""
        trainer = self._module.trainer
        self._doing = f"training batch {batch_idx} of epoch {trainer.current_epoch}"
        if batch_idx % trainer.accumulate_grad_batches == 0:
            zero_gradients(trainer, trainer.optimizers[0], batch_idx)
        with self.watching():
            num = trainer.accumulate_grad_batches
            with self._in_step():
                result = self._step.train(batch, batch_idx, *more, num_accumulated=num)
            if not is_accumulating(trainer):
                self._add_gradients_of_both()
                self._average_gradients()
                self._agreement.share_groups(self.optimizers)
        loss = result["loss"] if isinstance(result, dict) else result
        # of the base class, as a scaler has scaled the loss already
        Precision.post_backward(self.precision_plugin, loss, self._module)
        return result

    @override
    def validation_step(self, batch: Any, batch_idx: int, *more: Any) -> Any:
        return self._evaluate("validation", batch, batch_idx, *more)

    @override
    def test_step(self, batch: Any, batch_idx: int, *more: Any) -> Any:
        return self._evaluate("test", batch, batch_idx, *more)

    @override
    def predict_step(self, batch: Any, batch_idx: int, *more: Any) -> Any:
        return self._evaluate("predict", batch, batch_idx, *more)

    def _evaluate(self, kind: str, batch: Any, batch_idx: int, *more: Any) -> Any:
        self._doing = f"{kind} batch {batch_idx}"
        with self.watching(), self._in_step():
            return self._step.evaluate(f"{kind}_step", batch, batch_idx, *more)

    def _add_gradients_of_both(self) -> None:
        """Add up what each device's later stages give for the stage that both run."""
        both = self._split.tensors_of_both()
        for parameter in self._module.parameters():
            if id(parameter) in both and parameter.requires_grad:
                if parameter.grad is None:
                    parameter.grad = parameter.new_zeros(parameter.shape)
                dist.all_reduce(parameter.grad, group=self._groups.team)

    def _average_gradients(self) -> None:
        if self.num_replicas == 1:
            return
        for parameter in self._module.parameters():
            # FSDP2 has averaged those of sharded parameters
            if parameter.grad is not None and not isinstance(parameter.grad, DTensor):
                dist.all_reduce(parameter.grad, group=self._groups.replicas)
                parameter.grad /= self.num_replicas

    def _broadcast_buffers(self) -> None:
        here = [b for b in self._module.buffers() if id(b) not in self._elsewhere]
        with self.watching():
            broadcast_from_first(here, self._groups.replicas)

    @override
    def on_validation_start(self) -> None:
        """Make buffers equal, so that the network is validated that a checkpoint contains."""
        self._broadcast_buffers()

    @override
    def holds(self, tensor: Tensor) -> bool:
        """Return whether a parameter or buffer is not of the other stage alone."""
        return id(tensor) not in self._elsewhere

    @override
    def gradient_norm(self) -> Tensor:
        """Return the 2-norm of the gradients of both stages."""
        with self.watching():
            return norm_over_stages(
                list(self._module.parameters()),
                self._groups.team,
                self.root_device,
                self._of_both(),
            )

    @override
    def optimizer_step(
        self, optimizer: Optimizer, closure: Callable[[], Any], model: Any = None, **options: Any
    ) -> Any:
        """Step, with clipping and overflows decided by both processes."""
        with self.watching():
            return super().optimizer_step(optimizer, closure, model, **options)

    # plans

    def cut_before(self, stage: str) -> "EncoderDecoderStrategy":
        """Return a strategy with the same options and another first stage of the decoder."""
        return EncoderDecoderStrategy(**asdict(replace(self.options, cut=stage)))

    @override
    def rehearse(self, run: RehearsedRun, stage: str | None) -> AbstractContextManager[StagePasses]:
        """Return the passes of a stage; its `spec` says what is sent."""
        assert stage in STAGES
        return rehearsed_stage(run, self.options, stage)

    # checkpoints, which are those of one device

    @override
    def lightning_module_state_dict(self) -> dict[str, Any]:
        self._complete()
        return full_weights(super().lightning_module_state_dict())

    @override
    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Tensor]:
        """Return the state of the whole network's parameters on the CPU."""
        own: dict[str, Any] = super().optimizer_state(optimizer)
        every: dict[int, Any] = {}
        with self.watching():
            state = map_leaves(full_on_cpu, own["state"])
            for rank in reversed(GROUP_RANK.values()):  # the decoder's of what both have
                every.update(map_leaves(full_on_cpu, self._peers.broadcast(state, source=rank)))
        return {**own, "state": dict(sorted(every.items()))}

    @override
    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Load a whole state, and keep that of the parameters on this device."""
        super().load_optimizer_state_dict(checkpoint)
        for optimizer in self.optimizers:
            for parameter in [p for p in optimizer.state if id(p) in self._elsewhere]:
                del optimizer.state[parameter]
            shard_state(optimizer)

    def _complete(self) -> None:
        """Copy the other stage's tensors from the other process."""
        self._broadcast_buffers()
        encoder = self._split.encoder_tensors()
        with self.watching():
            for tensor in (*self._module.parameters(), *self._module.buffers()):
                source: StageName = "encoder" if id(tensor) in encoder else "decoder"
                moved = full_tensor(tensor.data).to(self.root_device)
                dist.broadcast(moved, group_src=GROUP_RANK[source], group=self._groups.team)
                if source != self.stage_name:
                    tensor.data.copy_(moved)

    # the end

    @override
    def on_train_end(self) -> None:
        """Leave the trained network in every process, for what comes after the fit."""
        self._complete()

    @override
    def teardown(self) -> None:
        super().teardown()
        if self.lightning_module is not None:
            self._let_metrics_reduce_over(None)  # a group cannot be pickled with the module


def _length(loader: Any) -> int | None:
    try:
        return len(loader)
    except (TypeError, NotImplementedError):
        return None


StrategyRegistry.register(
    NAME, EncoderDecoderStrategy, description="encoder and decoder of a U-Net on two devices"
)
