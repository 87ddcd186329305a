"""Parameters as errors name them, turned into the flags that set them."""

import logging
import re

FLAGS = {
    "MemoryTechniques": "--model.memory.",
    "ContrastEnhancer": "--model.",
    "RadiographDataModule": "--data.",
    "EncoderDecoderStrategy": "--trainer.strategy.",
    "FullyShardedStrategy": "--trainer.strategy.",
    "RowsStrategy": "--trainer.strategy.",
    "MemoryProfiler": "--memory_profiler.",
    "LastCheckpoint": "--last_checkpoint.",
    "WeightAverage": "--weight_average.",
    "PredictionWriter": "--output.",
    "Output": "--",
    "Trainer.fit": "--",
    "Trainer": "--trainer.",
}
"""Class -> what stands before the names of its parameters on the command line."""

_CLASSES = "|".join(sorted(map(re.escape, FLAGS), key=len, reverse=True))
_CALL = re.compile(rf"\b({_CLASSES})\((\w+)=(\"[^\"]*\"|[^\s,()]+)\)")
_METHODS = "fit|validate|test|predict"
"""Of the trainer; they are no parameters."""
_NAME = re.compile(rf"\b({_CLASSES})\.(?!(?:{_METHODS})\b)(\w+)\b(?!\()")


def in_flags(message: str) -> str:
    """Return a message in which every parameter is the flag that sets it.

    `MemoryTechniques.band_rows` becomes `--model.memory.band_rows`, and
    `Trainer(precision="16-mixed")` becomes `--trainer.precision=16-mixed`.
    """
    message = _CALL.sub(lambda m: f"{FLAGS[m[1]]}{m[2]}={m[3].strip(chr(34))}", message)
    return _NAME.sub(lambda m: FLAGS[m[1]] + m[2], message)


def log_in_flags() -> None:
    """Let what rooms below log through Lightning say flags too."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_reworded)


def _reworded(record: logging.LogRecord) -> bool:
    record.msg, record.args = in_flags(record.getMessage()), ()
    return True
