"""A dataset folder that appears whole or not at all.

Half a dataset would train without complaint, on fewer images than anyone believes.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from radenhance.dataset.manifest import MANIFEST
from radenhance.files import new_part


@contextmanager
def made_whole(root: Path) -> Iterator[Path]:
    """Yield a folder to fill, with raw/ and target/, that becomes `root` when the block succeeds.

    When the block fails, by an error, Ctrl-C or a full disk, the folder is removed; after a kill,
    the next process does that. When two processes make the same dataset at once, the one that
    finishes first is kept.

    Args:
        root: The dataset folder to make.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    with new_part(root.parent, is_folder=True) as folder:
        for role in ("raw", "target"):
            (folder / role).mkdir()
        yield folder
        folder.chmod(0o755)
        if not (root / MANIFEST).exists():
            os.rename(folder, root)
