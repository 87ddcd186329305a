"""What makes TensorBoard a dashboard: pages of curves, a table of runs, a card of each run.

The table (HPARAMS) names curves that are logged anyway as its figures, so that it is filled while a
run goes on, and holds what a run got to that was killed.
"""

import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import lightning
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard.summary import hparams
from typing_extensions import override

from radenhance import __version__, metric_names
from radenhance.callbacks.memory_profiler import MemoryProfiler, Planned
from radenhance.compat.lightning import callbacks_of
from radenhance.foreign_text import LONGEST_MESSAGE, in_markdown, one_line
from radenhance.log_points import gathered, log_metrics, stage_of, without_curves

Layout = dict[str, dict[str, list[Any]]]
"""Page -> chart -> ["Multiline", regular expressions of names]."""

GPU_SOURCES = (
    metric_names.NVML_DEVICE,
    metric_names.NVML_PROCESS,
    metric_names.RESERVED,
    metric_names.ALLOCATED,
)
ALL_SOURCES = (*GPU_SOURCES, metric_names.PROCESS_RSS, metric_names.PLANNED)

SHOWN_FIRST = ("data.image_size", "model.encoder", "recipe", "techniques", "trainer.precision")
"""The table shows five flags until others are ticked: those that are said to differ, by name."""


TECHNIQUES = "techniques"

SHORT = {
    "checkpointing": "chkp",
    "momentum": "mom",
    "momentum_reversible": "stored",
    "quantization": "qat",
    "offload_mib": "off",
    "band_rows": "bands",
    "tf32": "tf32",
    "compile": "comp",
    "channels_last": "nhwc",
    "fused_upsampling": "unfused",  # it is on unless it is named
}
"""Technique -> its name in the table, which cuts texts after 15 characters; its value has a column
of its own."""


class Dashboard(Callback):
    """Writes the layout, the table's row and the card at the start of a training.

    Args:
        flags: What the table compares runs by, such as {"model.encoder": "resnet34"}.
        command: The command line of the run; it is shown as it is.
    """

    def __init__(self, flags: Mapping[str, Any], command: str) -> None:
        self.flags = dict(flags)
        self.command = command
        self.plan = ""
        """What the run was planned to take, as Markdown; the card has it when it is set."""
        self._identity: dict[str, float] = {}
        self._end: Any = None

    @override
    @without_curves()
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write everything that is known beforehand; every rank takes part."""
        stages = sorted({stage for stage in gathered(stage_of(trainer)) if stage is not None})
        device = trainer.strategy.root_device
        sources = GPU_SOURCES if device.type == "cuda" else (metric_names.PROCESS_RSS,)
        if planned := _planned(trainer):
            sources, stages = (metric_names.PLANNED,), [one for one in planned if one is not None]
        for writer in _writers(trainer):
            writer.add_custom_scalars(layout(stages, sources))
            writer.add_text("run", card(self.command, device, plan=self.plan), trainer.global_step)
            columns, begin, self._end = table(self.flags, sources)
            for summary in (columns, begin):
                writer.file_writer.add_summary(summary)

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the baseline, which is measured in the first epoch only, as a line."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        if trainer.current_epoch > 0:
            log_metrics(trainer, self._identity)
            return
        names = (metric_names.IDENTITY_LOSS, metric_names.IDENTITY_MS_SSIM)
        measured = trainer.callback_metrics
        self._identity = {name: float(measured[name]) for name in names if name in measured}

    @override
    @without_curves()
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Mark the run in the table as done."""
        for writer in _writers(trainer):
            writer.file_writer.add_summary(self._end)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"identity": dict(self._identity)}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._identity = dict(state_dict["identity"])


def _planned(trainer: Trainer) -> Planned:
    """Return what the memory profiler logs of a plan."""
    profilers = [one for one in callbacks_of(trainer) if isinstance(one, MemoryProfiler)]
    return profilers[0].planned if profilers else {}


def layout(stages: Sequence[str], sources: Sequence[str]) -> Layout:
    """Return the pages "Memory", with a chart for each phase and stage, and "Loss".

    Titles name the sources: charts of one title are one, and a run with a GPU and one without have
    nothing to draw together.

    Args:
        stages: The parts of a distributed run.
        sources: What the figures come from; a plan has none of the optimizer's phase.
    """
    memory = {}
    listed = ", ".join(sources)
    parts: Sequence[str | None] = stages or [None]
    for phase in (
        metric_names.FORWARD,
        metric_names.BACKWARD,
        metric_names.OPTIMIZER,
        metric_names.PEAK,
    ):
        if phase == metric_names.OPTIMIZER and metric_names.PLANNED in sources:
            continue
        for stage in parts:
            of = "" if stage is None else f" of {stage}"
            memory[f"{phase}{of}, MiB ({listed})"] = _lines(
                metric_names.memory(phase, source, stage) for source in sources
            )
    losses = (metric_names.TRAIN_LOSS, metric_names.VAL_LOSS, metric_names.IDENTITY_LOSS)
    similarities = (metric_names.VAL_MS_SSIM, metric_names.IDENTITY_MS_SSIM)
    loss = {
        "loss: train, validation, raw image": _lines(losses),
        "MS-SSIM: validation, raw image": _lines(similarities),
    }
    return {"Memory": memory, "Loss": loss}


def table(flags: Mapping[str, Any], sources: Sequence[str]) -> tuple[Summary, Summary, Summary]:
    """Return the columns of the table of runs, and the beginning and the end of this run's row."""
    shown = {**flags, TECHNIQUES: in_short(str(flags.get(TECHNIQUES, "none")))}
    columns, begin, end = hparams(row(shown), dict.fromkeys(figures(sources)))  # type: ignore[no-untyped-call]
    plugin_data = columns.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(plugin_data.content)
    for flag in content.experiment.hparam_infos:
        flag.differs = flag.name in SHOWN_FIRST
    plugin_data.content = content.SerializeToString()
    return columns, begin, end


def figures(sources: Sequence[str]) -> list[str]:
    """Return the columns that are measured, each the name of a logged curve.

    The first five are shown at once. Those of other devices are there too, because TensorBoard
    takes the columns of all runs from one of them.
    """
    others = [source for source in ALL_SOURCES if source not in sources]
    peak, *peaks = [
        metric_names.memory(metric_names.RUN_PEAK, source) for source in (*sources, *others)
    ]
    shown = [
        metric_names.VAL_LOSS,
        metric_names.TRAIN_LOSS,
        peak,
        metric_names.EPOCH_S,
        metric_names.VAL_MS_SSIM,
    ]
    return [*shown, *peaks, metric_names.STEP_S]


def row(flags: Mapping[str, Any]) -> dict[str, str | float]:
    """Return flags as the table takes them: numbers, and words for the rest."""
    return {
        name: value
        if isinstance(value, int | float) and not isinstance(value, bool)
        else one_line(str(value).lower())
        for name, value in flags.items()
    }


def in_short(techniques: str) -> str:
    """Return techniques, such as "checkpointing unit, band_rows 16", as the table has room for."""
    names = [one.partition(" ")[0] for one in techniques.split(", ")]
    return "+".join(SHORT.get(name, name) for name in names)


def card(command: str, device: torch.device, *, plan: str = "") -> str:
    """Return the card of a run as Markdown: its command, the versions that ran it, its plan."""
    lines = [f"    {one_line(command, LONGEST_MESSAGE)}", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {in_markdown(version)} |" for name, version in _versions(device)]
    return "\n".join([*lines, "", plan] if plan else lines)


def versions() -> dict[str, str]:
    """Return what ran a run, by name."""
    return {
        "radenhance": __version__,
        "Python": platform.python_version(),
        "PyTorch": torch.__version__,
        "Lightning": lightning.__version__,
    }


def _versions(device: torch.device) -> Iterator[tuple[str, str]]:
    yield from versions().items()
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        yield "CUDA", str(torch.version.cuda)
        yield "GPU", f"{properties.name}, {properties.total_memory / 2**30:.1f} GiB"
    else:
        yield "device", f"{device.type}, {torch.get_num_threads()} threads"


def _lines(names: Iterable[str]) -> list[Any]:
    return ["Multiline", [f"{re.escape(name)}$" for name in names]]


def _writers(trainer: Trainer) -> Iterator[Any]:
    """Yield TensorBoard's writers, on the rank that logs."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
            yield logger.experiment
