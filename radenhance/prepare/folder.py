"""A dataset folder that appears whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from radenhance.dataset.manifest import MANIFEST


@contextmanager
def made_whole(root: Path) -> Iterator[Path]:
    """Give a folder to fill, with raw/ and target/, that becomes `root` when the block ends well.

    When it does not, because of an error, Ctrl-C or a full disk, the folder vanishes. Of two
    processes that make the same dataset at once, the first one's stays.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
    try:
        for half in ("raw", "target"):
            (folder / half).mkdir()
        yield folder
        folder.chmod(0o755)
        if not (root / MANIFEST).exists():
            os.rename(folder, root)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
