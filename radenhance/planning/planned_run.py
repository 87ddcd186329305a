"""The training run that flags of `radenhance fit` describe, planned instead of run."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from pydoc import locate
from types import SimpleNamespace
from typing import Any, Literal

import torch
from jsonargparse import Namespace
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging
from lightning.pytorch.plugins import DoublePrecision, HalfPrecision, MixedPrecision, Precision

from radenhance.compat.lightning import unified_precision
from radenhance.datamodule import DEFAULT_ROOT
from radenhance.dataset.field import OPAQUE
from radenhance.dataset.manifest import MANIFEST, find_pairs, read_manifest
from radenhance.dicom.read import read_shape
from radenhance.errors import RadenhanceError, UsageError
from radenhance.flags.parser import ParsedFlags, parse_flags
from radenhance.memory.techniques import MemoryTechniques
from radenhance.planning.fake_module import fake_copy, fake_mode
from radenhance.planning.step_plan import StepPlan, Wire, measure_step
from radenhance.planning.traffic import MIDDLE_CARD, Speed
from radenhance.planning.training_step import Batch, TrainingStep
from radenhance.strategies import EncoderDecoderStrategy, FullyShardedStrategy, RowsStrategy
from radenhance.strategies.protocol import Passes, RehearsedRun
from radenhance.strategies.rows.gradients import messages_of
from radenhance.strategies.rows.rehearsal import RowPasses
from radenhance.strategies.whole import WholePasses

LARGEST_SIDE = 4188
"""Sides of the paper's radiographs, for native images where no dataset says better."""

Size = tuple[int, int]
"""Rows and columns in pixels."""

Flags = Mapping[str, Any]
"""Flags of `fit`: name without dashes -> value."""


class PlanError(UsageError):
    """A training step could not be planned; the message says why in one line."""


class PlannedRun:
    """A run of `radenhance fit`.

    Args:
        flags: Flags of `fit`, recipes included: parsed already, or as they are typed.
        speed: How long the device takes that it is planned for.

    Raises:
        UsageError: A flag is wrong.
    """

    def __init__(self, flags: ParsedFlags | Sequence[str], speed: Speed = MIDDLE_CARD) -> None:
        self.speed = speed
        self._flags = flags if isinstance(flags, ParsedFlags) else parse_flags("fit", flags)
        self.settings = self._flags.settings

    def plan(self, size: Size) -> StepPlan:
        """Return the plan of a training step in a process that runs the whole network.

        Args:
            size: Rows and columns of the images in pixels.

        Raises:
            PlanError: The step cannot be planned.
        """
        with self.planning(size):
            run, strategy = self.rehearsed(size), self.strategy()
            if isinstance(strategy, RowsStrategy):
                return self._plan_by_rows(run, strategy, size)
            if isinstance(strategy, FullyShardedStrategy) and run.num_processes > 1:
                with strategy.rehearse(run, None) as passes:
                    return self.measured(run, passes, size)
            return self.measured(run, WholePasses(run.module, run.precision), size)

    def _plan_by_rows(self, run: RehearsedRun, strategy: RowsStrategy, size: Size) -> StepPlan:
        with strategy.rehearse(run, None) as passes:
            assert isinstance(passes, RowPasses)
            plan = self.measured(run, passes, size)
        link = passes.link
        messages = messages_of(list(run.module.parameters()))
        gradients = [p.numel() * p.element_size() for message in messages for p in message]
        wire = Wire(
            num_processes=run.num_processes,
            rows_bytes=link.sent_bytes,
            sums_bytes=link.summed_bytes + sum(gradients),
            num_messages=link.num_messages + len(messages),
        )
        return replace(plan, wire=wire)

    def step(self, device: str = "cpu") -> TrainingStep:
        """Return the training step of `fit` on one device; a batch is moved to it by hand."""
        trainer = self.settings.trainer
        precision = precision_of(trainer.precision, device)
        module = self.module()
        precision.convert_module(module)  # in place
        module.to(device)
        if isinstance(memory := getattr(module, "memory", None), MemoryTechniques):
            memory.set_float32_precision()  # as the module's `setup` does
        accumulates = trainer.accumulate_grad_batches > 1
        return TrainingStep(module, precision, accumulates=accumulates)

    @contextmanager
    def planning(self, size: Size) -> Iterator[None]:
        """Say whatever goes wrong in a plan in one line.

        Args:
            size: Rows and columns of the images in pixels.

        Raises:
            PlanError: Something went wrong.
        """
        try:
            yield
        except Exception as error:  # of any library that a module is made of
            raise PlanError(
                f"{size[0]} x {size[1]} px could not be planned: {reason(error)}"
            ) from (error)

    def rehearsed(self, size: Size) -> RehearsedRun:
        """Return what `fit` would give its strategy, on fake tensors.

        Args:
            size: Rows and columns of the images in pixels.
        """
        mode = fake_mode()
        module = fake_copy(self.real_module, mode)
        precision = precision_of(self.settings.trainer.precision)
        with mode:
            batch = precision.convert_input(self.batch(size))
        return RehearsedRun(
            module,
            batch,
            mode,
            precision,
            num_processes=self.num_processes,
            num_accumulated=self.settings.trainer.accumulate_grad_batches,
        )

    def measured(self, run: RehearsedRun, passes: Passes, size: Size) -> StepPlan:
        """Return the plan of one process's passes.

        Args:
            run: What `rehearsed` returned.
            passes: The passes that the strategy makes of it.
            size: Rows and columns of the images in pixels.
        """
        with run.mode:
            step = TrainingStep(
                run.module,
                run.precision,
                passes,
                accumulates=run.num_accumulated > 1,
                num_averages=self.num_averages,
                has_buckets=self._has_buckets,
            )
            rows_of = passes.rows_of if isinstance(passes, RowPasses) else _unchanged
            plan = measure_step(step, lambda: rows_of(self.batch(size)))
        return replace(plan, seconds=self.speed.seconds(plan.work))

    def strategy(self) -> EncoderDecoderStrategy | FullyShardedStrategy | RowsStrategy | None:
        """Return the strategy that the flags name, if it is one of ours."""
        chosen = self.settings.trainer.strategy
        name = getattr(chosen, "class_path", chosen)
        for kind in (EncoderDecoderStrategy, FullyShardedStrategy, RowsStrategy):
            if name == kind.strategy_name or str(name).endswith(f".{kind.__name__}"):
                return kind(**vars(getattr(chosen, "init_args", SimpleNamespace())))
        return None

    @cached_property
    def real_module(self) -> LightningModule:
        """The module as `fit` makes it, in the types of the precision; nothing changes it."""
        precision = precision_of(self.settings.trainer.precision)
        module = self.module()
        precision.convert_module(module)  # in place
        return module

    @property
    def num_processes(self) -> int:
        """Number of processes of the run: one for each device of each node."""
        trainer = self.settings.trainer
        return num_devices(trainer.devices) * int(trainer.num_nodes)

    @property
    def num_averages(self) -> int:
        """Number of copies of the weights that callbacks keep on the device."""
        averages: bool = self.settings.weight_average.kind != "none"
        return self.num_whole_averages + averages

    @property
    def num_whole_averages(self) -> int:
        """Number of those that copy the module before a strategy has placed it."""
        callbacks = self.settings.trainer.callbacks or []
        return sum(map(_keeps_average, callbacks if isinstance(callbacks, list) else [callbacks]))

    @property
    def _has_buckets(self) -> bool:
        chosen = self.settings.trainer.strategy
        name = str(getattr(chosen, "class_path", chosen))
        is_ddp = name.startswith("ddp") or name.endswith(".ReplicatedStrategy") or name == "auto"
        return is_ddp and self.num_processes > 1

    def batch(self, size: Size) -> Batch:
        """Return a batch of noise as the loader would give one of images."""
        shape = (self.settings.data.batch_size, 1, *size)
        images = {name: torch.rand(shape) for name in ("raw", "target")}
        if self.settings.data.outside_field != "keep":  # auto may turn out to be black
            images["field"] = torch.full(shape, OPAQUE, dtype=torch.uint8)
        return images | {"case": ["noise"] * shape[0]}

    def module(self) -> LightningModule:
        """Return a new module, as `fit` makes it."""
        return self._flags.module()

    def with_flags(self, flags: Flags) -> "PlannedRun":
        """Return the same run with some flags changed."""
        return PlannedRun(self._flags.changed(flags), self.speed)

    @property
    def title(self) -> str:
        """What runs, in a line."""
        model, data = self.settings.model, self.settings.data
        precision = self.settings.trainer.precision or "32-true"
        return f"{model.encoder}, batch {data.batch_size}, {precision}"

    @cached_property
    def image_size(self) -> Size:
        """Rows and columns of what training sees: the crop, or the largest native image."""
        data = self.settings.data
        side = data.crop_size or data.image_size
        if side != "native":
            return side, side
        root = DEFAULT_ROOT if data.root is None else data.root
        sizes = _sizes_of_files(root) if root.is_dir() else []
        return max(sizes, key=lambda size: size[0] * size[1], default=(LARGEST_SIDE, LARGEST_SIDE))

    @property
    def num_steps(self) -> int | None:
        """Training steps of an epoch as pairs.csv has them, None where it does not tell."""
        data = self.settings.data
        root = DEFAULT_ROOT if data.root is None else data.root
        if not (root / MANIFEST).is_file():
            return None
        try:
            num_images = sum(pair.split == "train" for pair in read_manifest(root))
        except RadenhanceError:  # `fit` will say what is wrong
            return None
        return -(-num_images // data.batch_size) or None

    @property
    def typed(self) -> tuple[str, ...]:
        """The flags as they were typed, recipes as paths."""
        return self._flags.typed


def _unchanged(batch: Batch) -> Batch:
    return batch


def num_devices(devices: Any) -> int:
    """Return the number that `--trainer.devices` means on this machine."""
    if isinstance(devices, list):
        return len(devices)
    text = str(devices)
    if text in ("auto", "-1"):
        return max(1, torch.cuda.device_count())
    return len([part for part in text.split(",") if part]) if "," in text else int(text)


def _sizes_of_files(root: Path) -> list[Size]:
    """Return the sizes of a dataset's raw radiographs: as pairs.csv lists them, or the files'."""
    pairs = read_manifest(root) if (root / MANIFEST).is_file() else find_pairs(root)
    return [
        (pair.rows, pair.cols)
        if pair.rows is not None and pair.cols is not None
        else read_shape(root / pair.raw_path)
        for pair in pairs
    ]


def _keeps_average(callback: Namespace) -> bool:
    kind = locate(callback.class_path)
    averages = (WeightAveraging, StochasticWeightAveraging)
    if not (isinstance(kind, type) and issubclass(kind, averages)):
        return False
    device = vars(getattr(callback, "init_args", SimpleNamespace())).get("device")
    return not str(device).startswith("cpu")


def reason(error: Exception) -> str:
    """Return in one line what went wrong."""
    text = " ".join(str(error).split()) or "no reason given"
    return text if isinstance(error, RadenhanceError) else f"{type(error).__name__}: {text[:300]}"


def flags_in_words(flags: Flags) -> list[str]:
    """Return flags as they are typed."""
    return [
        f"--{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in flags.items()
    ]


def precision_of(name: str | int | None, device: str = "cpu") -> Precision:
    """Return Lightning's precision plugin for `--trainer.precision`, for a type of device.

    A CPU has bfloat16 where a GPU has float16, as in Lightning: bytes do not differ.

    Raises:
        UsageError: It cannot be planned.
    """
    unified = unified_precision(name)
    half: Literal["16-mixed", "bf16-mixed"] = "bf16-mixed" if device == "cpu" else "16-mixed"
    plugins: Mapping[str, Any] = {
        "32-true": Precision,
        "16-mixed": lambda: MixedPrecision(half, device),
        "bf16-mixed": lambda: MixedPrecision("bf16-mixed", device),
        "16-true": lambda: HalfPrecision("16-true"),
        "bf16-true": lambda: HalfPrecision("bf16-true"),
        "64-true": DoublePrecision,
    }
    if unified not in plugins:
        raise UsageError(
            f"--trainer.precision {name} cannot be planned; use one of {', '.join(plugins)}"
        )
    plugin: Precision = plugins[unified]()
    return plugin
