"""The method: a U-Net learns the enhanced radiograph from the raw one under MS-SSIM."""

import math
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from lightning.pytorch.utilities.types import LRSchedulerConfigType, OptimizerLRScheduler
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau
from typing_extensions import override

from radenhance import metric_names
from radenhance.checkpoint import (
    COARSE,
    MADE_WITH,
    OPTIMIZER,
    OPTIMIZER_STATES,
    SCHEDULER,
    STATE,
    TECHNIQUES,
    Checkpoint,
)
from radenhance.compat.lightning import callbacks_of, is_accumulating
from radenhance.dataset.field import OPAQUE
from radenhance.dataset.prediction import REDUCED, REDUCED_FIELD
from radenhance.errors import DivergedError, ParameterError, UsageError
from radenhance.extras import require_extra
from radenhance.fused_optimizer import fuse
from radenhance.learning_rate import Extension, HalfCosine, count_steps
from radenhance.loss.ms_ssim import (
    NUM_SCALES,
    NumScales,
    ms_ssim,
    scale_weights,
    smallest_side,
    ssim,
)
from radenhance.loss.streamed import streamed_loss
from radenhance.memory.techniques import MemoryTechniques
from radenhance.network.coarse import CoarseCorrection, enlarged
from radenhance.network.unet import build_unet, pad_to_stride, start_at_zero
from radenhance.resumed_flags import FULL_RATE, keep_own_options, take_options
from radenhance.resuming import (
    keep_own_files,
    leave_out_folder,
    refuse_other_form,
    refuse_other_progress,
)
from radenhance.rows.share import WHOLE, Share
from radenhance.starting import Fit, started_from, weights_of
from radenhance.strategies.protocol import PartitionedStrategy

Batch = dict[str, Any]
"""raw and target, each (N, 1, H, W) in [0, 1]; perhaps field, uint8, 255 inside; case, N names."""


class ContrastEnhancer(LightningModule):
    """U-Net that enhances the contrast of raw radiographs.

    The loss is 100 * (1 - MS-SSIM), the scale of the paper's tables, or that and a share of the
    absolute error. Images of any size of at least 32 pixels a side are padded by reflection to
    multiples of 32, and output and loss cropped back.

    Args:
        encoder: Encoder of segmentation-models-pytorch, such as resnet18 or resnet34, or tu-NAME
            for one of timm.
        encoder_weights: Weights to start the encoder from: none (null), a path of a state dict of
            torchvision, timm or segmentation-models-pytorch, or a name such as imagenet, which
            needs a network unless it is in the local cache.
        weights: A checkpoint to start from: its weights alone, of an earlier fit at any size, with
            any data. Of averaged weights these are the averages.
        weights_fit: What of the weights is taken: all, of the same encoder and output; encoder, the
            encoder's alone; or matching, all that have the name and the shape of one of this
            network, without the last layer where the output is another.
        frozen_encoder_epochs: Number of epochs at the start in which the encoder stays as it is,
            for the decoder to get used to it. It saves no memory.
        num_scales: Scales of the loss, 1 to 5, or auto for as many as the image has room for; five
            need at least 161 pixels a side.
        output: What the network gives: image, the enhanced image, as in the paper; or correction,
            which is added to its input and begins at 0, so that training begins at the raw image.
        coarse: A checkpoint of output correction that was trained on reduced images. Its correction
            of the reduced image, enlarged and added, is where this network begins instead, with the
            same weights where the encoder is the same. It does not change any more, and becomes a
            part of the checkpoints.
        l1_share: Share of the mean absolute error in the loss, in [0, 1), beside MS-SSIM: 0 for the
            paper's loss, 0.16 for that of Zhao et al. (2017).
        optimizer: An optimizer class of PyTorch; by default Adam with a learning rate of 0.001.
        lr_scheduler: A scheduler class of PyTorch. By default (null) the learning rate falls to 0
            along half a cosine over the steps of the run, and stays constant in a run without end.
        warmup_steps: Optimizer steps at the start in which the default learning rate rises to its
            full value.
        extend: What the default learning rate does in a run that resumes with more steps than it
            began with: constant, it falls as it was to, and stays at a hundredth of the full one;
            rewarm, it rises to the full one in warmup_steps, or a tenth of the steps that are left,
            and falls to 0 from there; cosine, it is that of a run which began with so many steps,
            and jumps there.
        lr_interval: Whether the lr_scheduler steps once per epoch or per optimizer step.
            ReduceLROnPlateau steps after each validation in any case.
        memory: Techniques that save GPU memory.
        fused_optimizer: Whether Adam, AdamW, SGD and Adagrad step in one kernel: the same step but
            for rounding, and quicker.
        int8: A file that `radenhance quantize` wrote, whose int8 model takes the place of the
            checkpoint's weights in validation, test and prediction on the CPU.
    """

    def __init__(  # noqa: PLR0913
        self,
        encoder: str = "resnet34",
        encoder_weights: str | None = None,
        weights: Path | None = None,
        weights_fit: Fit = "all",
        frozen_encoder_epochs: int = 0,
        num_scales: NumScales = 5,
        output: Literal["image", "correction"] = "image",
        coarse: Path | None = None,
        l1_share: float = 0.0,
        optimizer: OptimizerCallable = lambda params: torch.optim.Adam(params, lr=1e-3),
        lr_scheduler: LRSchedulerCallable | None = None,
        warmup_steps: int = 0,
        extend: Extension = "constant",
        lr_interval: Literal["epoch", "step"] = "epoch",
        memory: MemoryTechniques = MemoryTechniques(),  # noqa: B008  frozen, and shown in --help
        fused_optimizer: bool = False,
        int8: Path | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters("encoder", "num_scales", "output")
        self.hparams.update({name: getattr(memory, name) for name in TECHNIQUES})
        scale_weights(smallest_side(NUM_SCALES), num_scales)  # refuses a number that does not exist
        _refuse_unless_between("l1_share", l1_share, below=1)
        _refuse_unless_between("frozen_encoder_epochs", frozen_encoder_epochs)
        _refuse_unless_between("warmup_steps", warmup_steps)
        if warmup_steps and lr_scheduler is not None:
            raise UsageError(
                "ContrastEnhancer.warmup_steps is part of the default schedule; leave it out with "
                "a ContrastEnhancer.lr_scheduler, or chain LinearLR there"
            )
        if extend != "constant" and lr_scheduler is not None:
            raise UsageError(
                "ContrastEnhancer.extend is part of the default schedule; leave it out with a "
                "ContrastEnhancer.lr_scheduler"
            )
        self.num_scales = num_scales
        self.output = output
        self.l1_share = l1_share
        self.memory = memory
        self.share: Share = WHOLE
        self.unet = build_unet(encoder, encoder_weights=encoder_weights)
        if output == "correction":
            start_at_zero(self.unet)
        memory.stages_of(self.unet)  # refuses what cannot work on this encoder
        self.coarse: CoarseCorrection | None = None
        if coarse is not None:
            self._begin_with(Checkpoint.open(coarse))
        self._started = ""
        if weights is not None:
            self._start_from(Checkpoint.open(weights), weights_fit)
        elif weights_fit != "all":
            raise UsageError(
                f"ContrastEnhancer.weights_fit is {weights_fit}, and there are no weights; give a "
                f"checkpoint as ContrastEnhancer.weights"
            )
        self._int8 = _int8_network(int8) if int8 is not None else None
        self._make_optimizer = optimizer
        self._make_scheduler = lr_scheduler
        self._fused_optimizer = fused_optimizer
        self._warmup_steps = warmup_steps
        self._extend = extend
        self._frozen_encoder_epochs = frozen_encoder_epochs
        self._lr_interval = lr_interval
        self._cases: list[str] = []
        self._resumed: Checkpoint | None = None
        self._flags: dict[str, str] = {}
        self._given: Collection[str] | None = None

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Checkpoint,
        *,
        memory: MemoryTechniques | None = None,
        int8: Path | None = None,
    ) -> Self:
        """Return a trained network on the CPU.

        Args:
            checkpoint: Its weights and settings.
            memory: Techniques to run it with; by default those that it was trained with and that
                change what its weights compute.
            int8: File of an int8 model to run in their place.

        Raises:
            UsageError: The checkpoint is of another network.
        """
        memory = checkpoint.memory if memory is None else memory
        module = cls(
            checkpoint.encoder,
            num_scales=checkpoint.num_scales,
            output=checkpoint.output,
            memory=memory,
            int8=int8,
        )
        if checkpoint.coarse is not None:
            module._begin_with(checkpoint)
        module.load_state_dict(checkpoint.state_for(module.state_dict(), checkpoint.encoder))
        return module

    def note_flags(self, flags: Mapping[str, str], given: Collection[str]) -> None:
        """Take what a command line said of the run.

        Args:
            flags: Flags by their names, as texts, for checkpoints to keep.
            given: Parameters of this class that were asked for, such as optimizer.lr. They win over
                a checkpoint's in a run that resumes, also where they have the default of a class.
        """
        self._flags, self._given = dict(flags), given

    @override
    def setup(self, stage: str) -> None:
        """Choose the precision of float32 before anything runs, and refuse what cannot train."""
        if stage == "fit" and self._int8 is not None:
            raise UsageError(
                "ContrastEnhancer.int8 cannot be trained; leave it out, or validate or predict"
            )
        if stage == "fit" and self.coarse is not None:
            self._refuse_crops()
        if stage == "fit" and self.trainer.ckpt_path is None and self._started:
            rank_zero_info(self._started)
        self.memory.set_float32_precision()

    @override
    def forward(self, raw: Tensor, field: Tensor | None = None) -> Tensor:
        """Return the enhanced images, shape (N, 1, H, W), about [0, 1] but not clipped to it.

        Args:
            raw: Shape (N, 1, H, W), in [0, 1].
            field: How much of each pixel is in the exposed field, uint8, 255 inside; the rest
                becomes black. None leaves all pixels as they are.
        """
        rows, columns = raw.shape[-2:]
        if self.coarse is not None:
            if not self.share.is_whole:
                raise UsageError(
                    "ContrastEnhancer.coarse has to see whole images, and the strategy rows gives "
                    "each process some of their rows; use another strategy"
                )
            raw = raw + self.coarse(raw)
        enhanced: Tensor = self.network(pad_to_stride(raw))[..., :rows, :columns]
        if self.output == "correction":
            enhanced = raw + enhanced
        # autograd keeps the bytes of the field, and no copy of it in floating point
        return enhanced if field is None else enhanced * field / OPAQUE

    def enhanced(self, batch: Batch) -> Tensor:
        """Return the enhanced images of a batch, as `forward` does."""
        result: Tensor = self(batch["raw"], batch.get("field"))
        return result

    def network(self, image: Tensor) -> Tensor:
        """Return the U-Net's output; where two devices share it, their strategy takes this place.

        Args:
            image: Shape (N, 1, H, W), both sides multiples of 32.
        """
        return self._int8(image) if self._int8 is not None else self.memory.run(self.unet, image)

    @override
    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer and its learning-rate schedule."""
        try:
            optimizer = self._make_optimizer(self.unet.parameters())
            schedule = self._schedule(optimizer)
        except (ValueError, TypeError) as error:
            raise UsageError(
                f"ContrastEnhancer.optimizer or ContrastEnhancer.lr_scheduler cannot be made: "
                f"{error}"
            ) from error
        if self._resumed is not None:
            self._refuse_other_optimizer(self._resumed, optimizer, schedule["scheduler"])
            scheduler = schedule["scheduler"]
            for said in take_options(self._resumed.content, optimizer, scheduler, self._given):
                rank_zero_warn(said)
        if self._fused_optimizer:
            kept: Any = self._resumed.content[OPTIMIZER_STATES] if self._resumed else []
            fuse(optimizer, [group for state in kept for group in state["param_groups"]])
        self._resumed = None
        for group in optimizer.param_groups:  # ReduceLROnPlateau alone keeps no full rate
            group.setdefault(FULL_RATE, group["lr"])
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    @override
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note of which optimizer and schedule the states are, and leave out the folder."""
        if self.trainer.optimizers:
            checkpoint[OPTIMIZER] = type(self.trainer.optimizers[0]).__name__
        for config in self.trainer.lr_scheduler_configs:
            checkpoint[SCHEDULER] = type(config.scheduler).__name__
        checkpoint[MADE_WITH] = self._flags
        leave_out_folder(checkpoint)

    @override
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse another network in one sentence, and files that are not of this run."""
        found = Checkpoint(checkpoint)
        # Lightning loads weights before it converts modules: of doubles, floats would be kept
        self.trainer.precision_plugin.convert_module(self)
        if found.coarse != (self.coarse and self.coarse.settings):
            raise UsageError(
                "the checkpoint was made with another ContrastEnhancer.coarse, or without one; "
                "leave that parameter out to take the checkpoint's"
            )
        if found.output != self.output:
            raise UsageError(
                f"the checkpoint was made with ContrastEnhancer.output {found.output}, and this "
                f"run has {self.output}; leave that parameter out to take the checkpoint's"
            )
        checkpoint[STATE] = found.state_for(self.state_dict(), self.hparams["encoder"])
        if not _is_same_coarse(self.state_dict(), checkpoint[STATE]):
            raise UsageError(
                "the checkpoint was made with other weights of ContrastEnhancer.coarse; leave that "
                "parameter out to take the checkpoint's"
            )
        keep_own_files(checkpoint, self.trainer.checkpoint_callbacks)
        if self.trainer.state.fn == "fit":
            refuse_other_progress(checkpoint, self.trainer.fit_loop)
            for said in keep_own_options(checkpoint, callbacks_of(self.trainer)):
                rank_zero_info(said)
            self._resumed = found

    @override
    def on_train_start(self) -> None:
        """Fix the length of the default schedule, and say so if nothing will be learned.

        Asked for before, Lightning would make its loaders before it restores their position from a
        checkpoint.
        """
        schedule = self.lr_schedulers()
        if isinstance(schedule, HalfCosine):
            said = schedule.fix_length(count_steps(self.trainer), self._extend)
            if said is not None:
                rank_zero_info(f"{said[0].upper()}{said[1:]}.")
        groups = [group for one in self.trainer.optimizers for group in one.param_groups]
        if self.trainer.ckpt_path is not None and all(group["lr"] == 0 for group in groups):
            rank_zero_warn(
                f"the learning rate is 0 where the run goes on, as {type(schedule).__name__} says; "
                f"give other arguments of ContrastEnhancer.lr_scheduler, or start anew from its "
                f"weights (ContrastEnhancer.weights)"
            )

    @override
    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Keep the encoder's statistics of BatchNorm as they are while it is frozen.

        The start of an epoch would be the place, but a run that resumes within one skips it.
        """
        if self._frozen_encoder_epochs:
            self.unet.encoder.train(not self._is_frozen)

    @override
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self._cases = batch["case"]
        enhanced = self.enhanced(batch)
        loss = streamed_loss(
            enhanced,
            batch["target"],
            num_scales=self.num_scales,
            l1_share=self.l1_share,
            share=self.share,
        )
        self.log(metric_names.TRAIN_LOSS_STEP, loss, prog_bar=True)
        self.log(
            metric_names.TRAIN_LOSS, loss, on_step=False, on_epoch=True, batch_size=len(self._cases)
        )
        return loss

    @override
    def on_before_backward(self, loss: Tensor) -> None:
        """Stop at a loss that is not a number."""
        self._refuse_unless_finite(loss, "the loss")

    @override
    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Stop before a gradient that is not a number gets into the weights."""
        if self._is_frozen:  # so that every technique and strategy computes what it always does
            for parameter in self.unet.encoder.parameters():
                parameter.grad = None
        norm = self._gradient_norm()
        self.log(metric_names.GRADIENT_NORM, norm)
        # float16 with a gradient scaler overflows now and then; the scaler skips such a step itself
        if getattr(self.trainer.precision_plugin, "scaler", None) is None:
            self._refuse_unless_finite(norm, "the gradient")

    @override
    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Release gradients that the optimizer has used; Lightning keeps them for one more step.

        Until then they would wait beside the activations of the whole forward pass.
        """
        if not is_accumulating(self.trainer):
            for optimizer in self.trainer.optimizers:
                optimizer.zero_grad()

    @override
    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Return the enhanced images and their MS-SSIM, shape (N,), for callbacks to show."""
        return self._evaluate(batch, metric_names.VAL)

    @override
    def on_validation_epoch_end(self) -> None:
        """Step a ReduceLROnPlateau, before any checkpoint is written at the end of validation."""
        if self.trainer.state.fn != "fit" or self.trainer.sanity_checking:
            return
        for config in self.trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, ReduceLROnPlateau):
                config.scheduler.step(self._monitored(config.scheduler))

    @override
    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        return self._evaluate(batch, metric_names.TEST)

    @override
    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the enhanced images in float32, clipped to [0, 1].

        Where the batch has reduced images as well, what the network adds to those is enlarged and
        added to the images, which keep all of their detail.
        """
        with self._in_bands_on_a_cpu():
            if REDUCED not in batch:
                return self.enhanced(batch).float().clamp(0, 1)
            small, small_field = batch[REDUCED], batch.get(REDUCED_FIELD)
            correction = (self(small, small_field) - small).float()
        enhanced: Tensor = batch["raw"] + enlarged(correction, batch["raw"].shape)
        if "field" in batch:
            enhanced *= batch["field"] / OPAQUE
        return enhanced.clamp_(0, 1)

    @contextmanager
    def _in_bands_on_a_cpu(self) -> Iterator[None]:
        """Run in bands on a CPU, where they cost no time, unless a strategy runs the network."""
        memory = self.memory
        if self.device.type == "cpu" and "network" not in vars(self):
            self.memory = memory.in_bands
        try:
            yield
        finally:
            self.memory = memory

    @property
    def _is_frozen(self) -> bool:
        return self.current_epoch < self._frozen_encoder_epochs

    def _refuse_crops(self) -> None:
        """Refuse crops of larger images, of which a coarse network would take each for a whole."""
        data = getattr(self.trainer, "datamodule", None)
        crop, size = (getattr(data, name, None) for name in ("crop_size", "image_size"))
        if crop is not None and (size == "native" or crop < size):
            raise UsageError(
                f"ContrastEnhancer.coarse has to see whole images, and "
                f"RadiographDataModule.crop_size {crop} of image_size {size} gives it parts; leave "
                f"crop_size out"
            )

    def _start_from(self, checkpoint: Checkpoint, fit: Fit) -> None:
        if self.coarse is not None:
            raise ParameterError(
                "ContrastEnhancer.weights",
                got=checkpoint.name,
                expected="none with a ContrastEnhancer.coarse, whose weights training starts from",
            )
        if fit == "all" and checkpoint.coarse is not None and checkpoint.output == self.output:
            self._begin_with(checkpoint)
        own = self.state_dict()
        encoder = self.hparams["encoder"]
        found = weights_of(checkpoint, fit, own, encoder=encoder, output=self.output)
        self.load_state_dict(own | found)
        self._started = started_from(checkpoint, found, own, self.memory)

    def _begin_with(self, checkpoint: Checkpoint) -> None:
        if self.output != "correction":
            raise ParameterError(
                "ContrastEnhancer.output",
                got=self.output,
                expected="correction with a ContrastEnhancer.coarse",
            )
        settings, state = checkpoint.as_coarse()
        self.coarse = CoarseCorrection(**settings)
        self.coarse.load_state_dict(state)
        if settings["encoder"] == self.hparams["encoder"]:  # it knows what to look for already
            self.unet.load_state_dict(self.coarse.unet.state_dict())
            start_at_zero(self.unet)
        self.hparams[COARSE] = settings

    def _schedule(self, optimizer: Optimizer) -> LRSchedulerConfigType:
        if self._make_scheduler is None:
            cosine = HalfCosine(optimizer, self._warmup_steps)
            return {"scheduler": cosine, "interval": "step"}
        scheduler = self._make_scheduler(optimizer)
        if isinstance(scheduler, ReduceLROnPlateau):
            # Lightning would step it after the epoch's checkpoint, and not at all in the epoch that
            # a run resumes in; on_validation_epoch_end does it instead
            return {
                "scheduler": scheduler,
                "monitor": metric_names.VAL_LOSS,
                "frequency": sys.maxsize,
            }
        return {"scheduler": scheduler, "interval": self._lr_interval}

    def _refuse_other_optimizer(
        self, checkpoint: Checkpoint, optimizer: Optimizer, scheduler: Any
    ) -> None:
        theirs, ours = checkpoint.optimizer, type(optimizer).__name__
        if theirs not in (None, ours):
            raise UsageError(
                f"the checkpoint was made with ContrastEnhancer.optimizer {theirs}, whose state "
                f"does not fit {ours}; resume with the same optimizer"
            )
        theirs, ours = checkpoint.content.get(SCHEDULER), type(scheduler).__name__
        if theirs not in (None, ours):
            raise UsageError(
                f"the checkpoint was made with ContrastEnhancer.lr_scheduler "
                f"{_schedule_name(theirs)}, and this run has {_schedule_name(ours)}; resume with "
                f"the same, or start anew from its weights (ContrastEnhancer.weights)"
            )
        refuse_other_form(checkpoint.content, optimizer, scheduler)

    def _monitored(self, scheduler: ReduceLROnPlateau) -> Tensor:
        name = getattr(scheduler, "monitor", metric_names.VAL_LOSS)
        metrics = self.trainer.callback_metrics
        if name not in metrics:
            raise UsageError(
                f"ContrastEnhancer.lr_scheduler.monitor {name} is not logged; use one of "
                f"{', '.join(sorted(metrics))}"
            )
        return metrics[name]

    def _evaluate(self, batch: Batch, split: str) -> dict[str, Tensor]:
        enhanced = self.enhanced(batch).float()
        measures = self._measure(enhanced, batch["target"])
        self._log_means(split, measures)
        if self._identity_is_due():
            identity = self._measure(batch["raw"], batch["target"])
            self._log_means(metric_names.IDENTITY, identity)
        return {"enhanced": enhanced, metric_names.MS_SSIM: measures[metric_names.MS_SSIM]}

    def _measure(self, image: Tensor, target: Tensor) -> dict[str, Tensor]:
        return measure(
            image, target, num_scales=self.num_scales, l1_share=self.l1_share, share=self.share
        )

    def _gradient_norm(self) -> Tensor:
        strategy = self.trainer.strategy
        if isinstance(strategy, PartitionedStrategy):  # which knows of the other processes' ones
            return strategy.gradient_norm()
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        return torch.nn.utils.get_total_norm(gradients)

    def _identity_is_due(self) -> bool:
        """Tell whether to log the baseline: once a fit, as it does not change, else each run."""
        fitting = self.trainer.state.fn == "fit"
        return not fitting or (self.current_epoch == 0 and not self.trainer.sanity_checking)

    def _log_means(self, prefix: str, measures: dict[str, Tensor]) -> None:
        num_images = len(measures[metric_names.LOSS])
        for name, values in measures.items():
            shown = prefix == metric_names.VAL and name in (metric_names.LOSS, metric_names.MS_SSIM)
            mean = values.mean()
            self.log(
                f"{prefix}/{name}", mean, batch_size=num_images, sync_dist=True, prog_bar=shown
            )

    def _refuse_unless_finite(self, value: Tensor, what: str) -> None:
        if not torch.isfinite(value):
            cases = ", ".join(self._cases)
            raise DivergedError(
                f"{what} became {value.item()} at step {self.global_step} on {cases}; training "
                f"stopped and the last checkpoint is untouched. Look at these (they are counted "
                f"as pairs.csv lists them), or lower the learning rate "
                f"(ContrastEnhancer.optimizer.lr)"
            )


def _int8_network(file: Path) -> Callable[[Tensor], Tensor]:
    # Most runs do without ONNX Runtime, which takes a while to import and need not be installed.
    require_extra("onnx", "an int8 model")
    from radenhance.memory.quantization.int8 import Int8Network

    return Int8Network(file)


def measure(
    enhanced: Tensor,
    target: Tensor,
    *,
    num_scales: NumScales,
    l1_share: float = 0.0,
    share: Share = WHOLE,
) -> dict[str, Tensor]:
    """Return the measures of each image, every one of shape (N,).

    loss is what training minimizes; psnr is in decibels for a data range of 1; mae is in [0, 1]
    units. They are those of all rows, also where the tensors have a share of them.
    """
    similarity = ms_ssim(enhanced, target, num_scales=num_scales, share=share)
    difference = enhanced - target
    error, squared = (
        share.mean(one, 0, one.dtype).mean(dim=(1, 2, 3))
        for one in (difference.abs(), difference.square())
    )
    return {
        metric_names.LOSS: 100 * ((1 - l1_share) * (1 - similarity) + l1_share * error),
        metric_names.MS_SSIM: similarity,
        metric_names.SSIM: ssim(enhanced, target, share=share),
        metric_names.PSNR: -10 * squared.log10(),
        metric_names.MAE: error,
    }


def _is_same_coarse(own: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> bool:
    names = [name for name in own if name.startswith(f"{COARSE}.")]
    return all(torch.equal(own[name].cpu(), theirs[name]) for name in names)


def _schedule_name(name: object) -> str:
    return "null (the default)" if name == HalfCosine.__name__ else str(name)


def _refuse_unless_between(name: str, number: float, below: float = math.inf) -> None:
    if not 0 <= number < below:
        raise ParameterError(
            f"ContrastEnhancer.{name}",
            got=number,
            expected="0 or more" if below == math.inf else f"a number in [0, {below})",
        )
