from pathlib import Path

import pytest
from old_checkpoints import write_old_checkpoint

from radenhance.checkpoint import Checkpoint
from radenhance.inference import comparison


def test_the_network_and_the_raw_images_are_measured_on_both_sets(tiny_dataset, monkeypatch):
    monkeypatch.setattr(comparison, "REAL_ROOT", tiny_dataset)  # as if it were
    write_old_checkpoint("original", "old.ckpt")
    compared, rows = comparison.compare(Checkpoint.open(Path("old.ckpt")), tiny_dataset)
    assert [one.name for one in compared] == ["validation", "real (RG1, RG3)"]
    first, second = compared
    assert first.num_images == second.num_images == 2
    assert first.identity == pytest.approx(second.identity)
    assert first.identity > 0.9  # raw and target are linear in each other
    assert first.enhanced < 0.5  # of a network that has learnt nothing
    best, worst = rows[:2]
    assert best.captions == worst.captions == ["raw", "enhanced", "target"]
    assert len(rows) == 4


def test_the_best_case_is_shown_before_the_worst(tiny_dataset, monkeypatch):
    monkeypatch.setattr(comparison, "REAL_ROOT", tiny_dataset)
    write_old_checkpoint("original", "old.ckpt")
    checkpoint = Checkpoint.open(Path("old.ckpt"))
    _, (best, worst, *_) = comparison.compare(checkpoint, tiny_dataset)
    assert best.title.startswith("validation, best: case ")
    assert worst.title.startswith("validation, worst: case ")
    _, (named, *_) = comparison.compare(checkpoint, tiny_dataset, log_names=True)
    assert named.title.startswith(f"validation of {tiny_dataset}, best: raw/case")
    assert float(best.title.split()[-1]) >= float(worst.title.split()[-1])
    assert {image.shape for image in best.images} == {best.images[0].shape}


def test_the_real_radiographs_are_made_where_they_are_not_there_yet(tiny_dataset, monkeypatch):
    made = []
    monkeypatch.setattr(comparison, "REAL_ROOT", tiny_dataset.parent / "real")
    monkeypatch.setattr(
        comparison, "make_real_pairs", lambda root: made.append(tiny_dataset.rename(root))
    )
    write_old_checkpoint("original", "old.ckpt")
    root = comparison.REAL_ROOT  # both sets are the same here
    comparison.compare(Checkpoint.open(Path("old.ckpt")), root)
    assert made == [root]
