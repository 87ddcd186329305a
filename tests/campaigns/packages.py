"""Damaged and hostile model packages: each is refused in a sentence, or gives what it gave.

    python tests/campaigns/packages.py                 # 1,500 packages
    python tests/campaigns/packages.py 100 > packages.md

Wrong is anything but a sentence: a traceback, or other weights than before the damage, unless the
checksum in the metadata was made to fit.
"""

import hashlib
import io
import json
import random
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

import torch
from small_package import small_files

from radenhance.checkpoint import Checkpoint
from radenhance.errors import RadenhanceError
from radenhance.package_file import METADATA, SECTION, WEIGHTS

JSON = b'{}[]",:0123456789eE-.xntFIBU\x00\xff'


def archive_bytes(files, draw):
    return changed(zipped(files), draw, 0, draw.randint(1, 4))


def archive_directory(files, draw):
    content = zipped(files)
    return changed(content, draw, len(content) - 400, draw.randint(1, 4))


def archive_cut_off(files, draw):
    content = zipped(files)
    return content[: draw.randrange(len(content))]


def metadata(files, draw):
    text = bytearray(files[METADATA])
    for _ in range(draw.randint(1, 5)):
        text[draw.randrange(len(text))] = draw.choice(JSON)
    return files | {METADATA: bytes(text)}


def header_of_weights(files, draw):
    weights = bytearray(files[WEIGHTS])
    end = 8 + int.from_bytes(weights[:8], "little")
    for _ in range(draw.randint(1, 3)):
        weights[draw.randrange(end)] = draw.choice(JSON)
    described = json.loads(files[METADATA])
    described[SECTION]["weights_sha256"] = hashlib.sha256(weights).hexdigest()
    return files | {WEIGHTS: bytes(weights), METADATA: json.dumps(described).encode()}


KINDS = (archive_bytes, archive_directory, archive_cut_off, metadata, header_of_weights)


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def changed(content, draw, begin, times):
    content = bytearray(content)
    for _ in range(times):
        content[draw.randrange(begin, len(content))] = draw.randrange(256)
    return bytes(content)


def written(made, folder):
    """Write an archive, or the files of a folder, and return the path."""
    if isinstance(made, bytes):
        (folder / "model.zip").write_bytes(made)
        return folder / "model.zip"
    for name, content in made.items():
        (folder / name).write_bytes(content)
    return folder


def outcome(path, weights):
    try:
        found = Checkpoint.open(path).content["state_dict"]
    except RadenhanceError as error:
        return "refused" if len(str(error).splitlines()) == 1 else "wrong: several lines"
    except Exception as error:
        return f"wrong: {type(error).__name__}"
    equal = all(torch.equal(found[name], one) for name, one in weights.items())
    return "opened, the same weights" if equal else "wrong: other weights"


def main(number):
    files = small_files()
    counts = {kind: Counter() for kind in KINDS}
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        weights = Checkpoint.open(written(files, Path(folder))).content["state_dict"]
    for seed in range(number):
        draw = random.Random(seed)
        kind = draw.choice(KINDS)
        with tempfile.TemporaryDirectory() as folder:
            counts[kind][outcome(written(kind(files, draw), Path(folder)), weights)] += 1
    print("| what is damaged | outcome |\n|---|---|")
    for kind, found in counts.items():
        told = ", ".join(f"{count} {what}" for what, count in sorted(found.items()))
        print(f"| {kind.__name__.replace('_', ' ')} | {told} |")
    print(f"\n{number} packages in {time.monotonic() - begin:.0f} s on a CPU.")
    return any(what.startswith("wrong") for found in counts.values() for what in found)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1500))
