"""radenhance: contrast enhancement of full-resolution radiographs, trained on the GPU you have.

One radiograph's way, which is also the order in which to read the code:

    training  dicom.read -> dataset -> network -> loss -> callbacks
    use       dicom.read -> dataset -> network -> inference -> dicom.write

`memory` lets the network train in fewer bytes, `strategies` divides it between devices, and
`planning` says beforehand whether it fits.

The names in `__all__` are imported when they are first used, so that `radenhance --help` answers at
once. The strategies also register themselves with Lightning, for
`Trainer(strategy="encoder_decoder")` or `Trainer(strategy="rows")`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from radenhance.callbacks.memory_profiler import MemoryProfiler
    from radenhance.checkpoint import Checkpoint
    from radenhance.datamodule import RadiographDataModule
    from radenhance.dicom.read import read
    from radenhance.enhancer import ContrastEnhancer
    from radenhance.inference.api import enhance
    from radenhance.inference.model import open_enhancer
    from radenhance.memory.techniques import MemoryTechniques
    from radenhance.strategies import (
        EncoderDecoderStrategy,
        FullyShardedStrategy,
        RowsStrategy,
    )

__version__ = "0.1.0"

__all__ = [
    "Checkpoint",
    "ContrastEnhancer",
    "EncoderDecoderStrategy",
    "FullyShardedStrategy",
    "MemoryProfiler",
    "MemoryTechniques",
    "RadiographDataModule",
    "RowsStrategy",
    "enhance",
    "open_enhancer",
    "read",
]

_MODULES = {
    "Checkpoint": "radenhance.checkpoint",
    "ContrastEnhancer": "radenhance.enhancer",
    "EncoderDecoderStrategy": "radenhance.strategies",
    "FullyShardedStrategy": "radenhance.strategies",
    "MemoryProfiler": "radenhance.callbacks.memory_profiler",
    "MemoryTechniques": "radenhance.memory.techniques",
    "RadiographDataModule": "radenhance.datamodule",
    "RowsStrategy": "radenhance.strategies",
    "enhance": "radenhance.inference.api",
    "open_enhancer": "radenhance.inference.model",
    "read": "radenhance.dicom.read",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
