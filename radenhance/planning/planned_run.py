"""The training run that flags of `radenhance fit` describe, planned instead of run."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from lightning.fabric.connector import _convert_precision_to_unified_args
from lightning.pytorch import LightningModule
from lightning.pytorch.plugins import DoublePrecision, HalfPrecision, MixedPrecision, Precision

from radenhance.datamodule import DEFAULT_ROOT
from radenhance.dataset.manifest import MANIFEST, read_manifest
from radenhance.errors import UsageError
from radenhance.flags.parser import ParsedFlags, parse_flags
from radenhance.planning.step_plan import StepPlan, plan_step
from radenhance.planning.training_step import Batch, TrainingStep

LARGEST_SIDE = 4188
"""Of the paper's radiographs; for native images where no dataset says better."""

Size = tuple[int, int]
"""Rows and columns in pixels."""

Flags = Mapping[str, Any]
"""Of `fit`: name without dashes -> value."""


class PlannedRun:
    """A run of `radenhance fit`.

    Args:
        flags: Of `fit`, recipes included: parsed already, or as they are typed.

    Raises:
        UsageError: A flag is wrong.
    """

    def __init__(self, flags: ParsedFlags | Sequence[str]) -> None:
        self._flags = flags if isinstance(flags, ParsedFlags) else parse_flags("fit", flags)
        self.settings = self._flags.settings

    def plan(self, size: Size) -> StepPlan:
        """Return the plan of one training step on images of a size."""
        return plan_step(self.step, lambda: self.batch(size))

    def step(self, device: str = "cpu") -> TrainingStep:
        """Return the training step of `fit`, made anew, on a device; a batch is moved by hand."""
        trainer = self.settings.trainer
        module = self.module()
        if device != "cpu":  # fake tensors cannot be moved
            module.to(device)
        return TrainingStep(
            module,
            precision_of(trainer.precision, device),
            accumulates=trainer.accumulate_grad_batches > 1,
        )

    def batch(self, size: Size) -> Batch:
        """Return a batch of noise as the loader would give one of images."""
        shape = (self.settings.data.batch_size, 1, *size)
        return {"raw": torch.rand(shape), "target": torch.rand(shape), "case": ["noise"] * shape[0]}

    def module(self) -> LightningModule:
        """Return a new module, as `fit` makes it."""
        return self._flags.module()

    def with_flags(self, flags: Flags) -> "PlannedRun":
        """Return the same run with some flags changed."""
        return PlannedRun(self._flags.changed(flags))

    @property
    def title(self) -> str:
        """What runs, in a line."""
        model, data = self.settings.model, self.settings.data
        precision = self.settings.trainer.precision or "32-true"
        return f"{model.encoder}, batch {data.batch_size}, {precision}"

    @property
    def image_size(self) -> Size:
        """Rows and columns of what training sees: the crop, or the largest native image."""
        data = self.settings.data
        side = data.crop_size or data.image_size
        if side != "native":
            return side, side
        root = DEFAULT_ROOT if data.root is None else data.root
        pairs = read_manifest(root) if (root / MANIFEST).is_file() else []
        sizes = [(pair.rows, pair.cols) for pair in pairs if pair.rows and pair.cols]
        return max(sizes, key=lambda size: size[0] * size[1], default=(LARGEST_SIDE, LARGEST_SIDE))


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
    unified = str(_convert_precision_to_unified_args(name or "32-true"))  # type: ignore[arg-type]
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
