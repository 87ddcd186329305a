"""The help of `radenhance fit`, `validate`, `test` and `predict`, in the order in which one asks.

What this program is about comes first, and Lightning's trainer, which has as many flags as all the
rest, comes last. The texts are those of the signatures and docstrings that the parser reads too;
Lightning's long ones are cut after a sentence or two, as its documentation has them in full.
"""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from radenhance import metric_names
from radenhance.flags.declared import in_yaml, parameters_of

WIDTH = 100
INDENTED: dict[str, Any] = {
    "initial_indent": " " * 6,
    "subsequent_indent": " " * 6,
    "break_on_hyphens": False,
}
ENOUGH = 120
"""Characters after which no further sentence of Lightning's is shown."""

SUMMARIES = {
    "fit": "Train a network. Without --data.root it trains on synthetic radiographs.",
    "validate": "Measure a network on the validation radiographs.",
    "test": "Measure a network on the test radiographs.",
    "predict": "Enhance radiographs, and write them as images.",
}

EXAMPLES = {
    "fit": [
        "radenhance fit --config original.yaml --data.root my_radiographs",
        "radenhance fit --config amp_chkp.yaml --data.root my_radiographs --ckpt_path last",
    ],
    "validate": ["radenhance validate --data.root my_radiographs --ckpt_path best"],
    "test": ["radenhance test --data.root my_radiographs --ckpt_path best"],
    "predict": ["radenhance predict --data.predict_from exams/ --output.folder enhanced/"],
}

DEFAULTS: dict[str, str | int | bool] = {
    "best_checkpoint.monitor": metric_names.VAL_LOSS,
    "best_checkpoint.filename": "best",
    "best_checkpoint.enable_version_counter": False,
    "trainer.max_epochs": 50,
    "trainer.log_every_n_steps": 10,
}
"""Defaults that are not those of Lightning's classes."""

CONFIG = "Recipe: a path, or the name of a built-in one. Later ones go above earlier ones."
SEED = "Seed of all random numbers; true for a random one, false for none."
CKPT_PATH = (
    "Checkpoint to start from: a path, or last or best of the newest run. Its settings are "
    "defaults, below every recipe and flag. By default fit starts anew, and the other commands "
    "take best."
)
TRUST_RECIPE = (
    "Let recipes and flags name classes, functions and addresses of anyone, and so run programs."
)
RUN_NAME = (
    "Name of the run's folder under lightning_logs. By default it is of recipe, image size and "
    "number, such as original_512_3. Only fit makes a run."
)
QUIET = "Print no bars, no lines and no summary; warnings and errors stay."
LOG_JSON = "Print an object of JSON after each epoch, and the run's report last, and no bars."
WEIGHTS_ONLY = "Of no effect: nothing but weights and plain values is read from a checkpoint."

GENERAL = {
    "--config RECIPE, -c RECIPE": CONFIG,
    "--ckpt_path PATH|last|best": CKPT_PATH,
    "--weights_only true|false": WEIGHTS_ONLY,
    "--run_name NAME": RUN_NAME,
    "--quiet": QUIET,
    "--log-json": LOG_JSON,
    "--trust-recipe": TRUST_RECIPE,
    "--seed_everything SEED": f"{SEED} (default 0)",
    "--print_config": "Print all settings as YAML, which --config takes, and stop.",
    "--help, -h": "Show this and stop.",
}
"""Flags of every command, as they are typed -> their text."""

VERBOSE = {"--verbose true|false": "Whether to print the measures. (default true)"}
OF_COMMAND: dict[str, dict[str, str]] = {
    "fit": {},
    "validate": VERBOSE,
    "test": VERBOSE,
    "predict": {
        "--return_predictions true|false": "Whether to keep the images in memory as well. "
        "(default null, which is true on one device)"
    },
}
"""Command -> its own flags."""

PLACEMENT = """\
placement
  A network runs on one device, or as --trainer.strategy says: encoder_decoder puts its encoder on
  one device and its decoder on another (the default for two nodes of one device), rows divides
  each image by rows over the devices, ddp puts all of the network on each device, and
  fully_sharded a part of each weight. The flags of the first two are shown
  with --trainer.strategy.help EncoderDecoderStrategy or RowsStrategy.
"""

CLASSES = """\
classes as values
  The parameters of a class follow its name, as in --model.optimizer SGD --model.optimizer.lr 0.1,
  and with --model.optimizer.help SGD they are shown. This goes for --model.lr_scheduler too, and
  for accelerator, callbacks, logger, plugins, profiler and strategy of the trainer.
"""


@dataclass(frozen=True)
class Section:
    """The flags of one part of a run.

    Args:
        title: Its heading.
        prefix: What stands before the names of its parameters.
        class_path: The class that declares them.
        without: Parameters that are no flags, or have a section of their own.
    """

    title: str
    prefix: str
    class_path: str
    without: tuple[str, ...] = ()


SECTIONS = (
    Section("network and training", "model", "radenhance.enhancer.ContrastEnhancer", ("memory",)),
    Section("GPU memory", "model.memory", "radenhance.memory.techniques.MemoryTechniques"),
    Section("radiographs", "data", "radenhance.datamodule.RadiographDataModule", ("seed",)),
    Section(
        "the checkpoint to resume from",
        "last_checkpoint",
        "radenhance.callbacks.last_checkpoint.LastCheckpoint",
    ),
    Section(
        "averaged weights",
        "weight_average",
        "radenhance.callbacks.weight_average.WeightAverage",
    ),
    Section(
        "memory figures", "memory_profiler", "radenhance.callbacks.memory_profiler.MemoryProfiler"
    ),
    Section("enhanced images", "output", "radenhance.callbacks.prediction_writer.PredictionWriter"),
    Section(
        "the best checkpoint (Lightning)",
        "best_checkpoint",
        "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint",
    ),
    Section(
        "the curve of the learning rate (Lightning)",
        "lr_monitor",
        "lightning.pytorch.callbacks.lr_monitor.LearningRateMonitor",
    ),
    Section("the trainer (Lightning)", "trainer", "lightning.pytorch.trainer.trainer.Trainer"),
)


def help_of(command: str) -> str:
    """Return the help of a command: its examples last.

    Args:
        command: One of EXAMPLES.
    """
    parts = [
        f"usage: radenhance {command} [--config RECIPE] [--FLAG VALUE] ...\n",
        f"{SUMMARIES[command]}\n",
        "\n".join(["the run", *_of_run(command)]) + "\n",
    ]
    for section in SECTIONS:
        if section.prefix == "last_checkpoint":
            parts.append(PLACEMENT)
        parts.append("\n".join(_lines(section)) + "\n")
    examples = "".join(f"  {example}\n" for example in EXAMPLES[command])
    return "\n".join([*parts, CLASSES, f"examples\n{examples}"])


def _of_run(command: str) -> Iterator[str]:
    for flag, text in {**GENERAL, **OF_COMMAND[command]}.items():
        yield f"  {flag}"
        yield from textwrap.wrap(text, WIDTH, **INDENTED)


def _lines(section: Section) -> Iterator[str]:
    yield section.title
    yield f"  --{section.prefix} FILE"
    yield "      YAML file with some of the following, without their prefix."
    cut = not section.class_path.startswith("radenhance.")
    for one in parameters_of(section.class_path):
        if one.name in section.without:
            continue
        name = f"{section.prefix}.{one.name}"
        yield f"  --{name} {'|'.join(one.choices) or one.name.upper()}"
        text = _cut(one.text) if cut else one.text
        default = in_yaml(DEFAULTS[name]) if name in DEFAULTS else one.default
        shown = "" if default is None else f" (default {default})"
        yield from textwrap.wrap(text + shown, WIDTH, **INDENTED)


def _cut(text: str) -> str:
    """Return the first sentences of a docstring of Lightning's, without its markup."""
    text = re.sub(r":\w+:`(?:~?[\w.]*\.)?(\w+)`", r"\1", text).replace("`", "")
    kept = ""
    for sentence in re.split(r"(?<=\.) (?=[A-Z])", text):
        if not re.match(r"(By default|Defaults?\b|Example:)", sentence):
            kept = f"{kept} {sentence}".strip()
        if len(kept) > ENOUGH:
            break
    return kept
