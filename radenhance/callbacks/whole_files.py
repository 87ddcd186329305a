"""Checkpoints that are there whole or not at all.

Lightning writes a checkpoint into the system's temporary folder and moves it. Where that is another
file system the move is a copy, and a full disk or a kill leaves half a file in place of the good
one.
"""

import io
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from typing_extensions import override

from radenhance.files import replace_file


class WholeFileCheckpointIO(TorchCheckpointIO):
    """Writes beside the file to be replaced, and then takes its place."""

    @override
    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Save to `path`, or leave what stood there.

        Raises:
            RadenhanceError: The disk is full, or the folder cannot be written to.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        replace_file(path, buffer.getbuffer())
