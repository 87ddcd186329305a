"""No module reads or sends pickles; the scanner that says so finds planted ones."""

from pathlib import Path

import pytest
from pickles import pickles

import radenhance

PACKAGE = Path(radenhance.__file__).parent


def test_no_module_reads_or_sends_pickles():
    found = {path: pickles(path) for path in PACKAGE.rglob("*.py")}
    assert len(found) > 100
    assert {path: uses for path, uses in found.items() if uses} == {}


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import pickle", "pickle"),
        ("from pickle import loads", "pickle"),
        ("import joblib.numpy_pickle", "joblib.numpy_pickle"),
        ("dist.broadcast_object_list(box)", "broadcast_object_list"),
        ("from torch.distributed import all_gather_object", "all_gather_object"),
        ("import torch\ntorch.load(path)", "torch.load"),
        ("import torch\ntorch.load(path, weights_only=False)", "torch.load"),
        ("np.load(path, allow_pickle=True)", "allow_pickle"),
    ],
)
def test_a_planted_use_is_found(tmp_path, source, what):
    file = tmp_path / "planted.py"
    file.write_text(source)
    assert [found.partition(": ")[2] for found in pickles(file)] == [what]


@pytest.mark.parametrize(
    "source",
    [
        "from pickle import UnpicklingError",
        "torch.load(path, weights_only=True)",
        "np.load(path, allow_pickle=False)",
        "dist.broadcast(tensor, 0)",
    ],
)
def test_what_runs_nothing_is_not(tmp_path, source):
    file = tmp_path / "harmless.py"
    file.write_text(source)
    assert pickles(file) == []
