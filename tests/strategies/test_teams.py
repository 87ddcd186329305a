"""All processes end together: asked to, or because one of them fails."""

import time

import pytest
import torch
from one_program import all_signals, failing, slow
from processes import run_nodes, start_nodes

STRATEGIES = {"encoder_decoder": ("the decoder (rank 0)", "the encoder (rank 1)"),
              "rows": ("rank 0", "rank 1")}  # fmt: skip


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_signal_to_one_process_ends_both_after_the_batch_with_a_checkpoint(tmp_path, strategy):
    run_nodes(all_signals, strategy, str(tmp_path / "of"), folder=tmp_path / "run")
    first, second = (torch.load(tmp_path / f"of-{rank}.pt", weights_only=True) for rank in range(2))
    assert list(first) == list(second) == ["0 in train", "1 in train", "1 in validation"]
    for case, (seconds, step) in first.items():
        assert seconds < 15  # of a time-out of 20
        assert second[case][1] == step
        folder = tmp_path / f"of-{case.replace(' in ', '-')}"
        (written,) = folder.iterdir()
        assert torch.load(written, weights_only=True)["global_step"] == step


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_fails_in_one_process_is_said_by_both_though_a_callback_would_save(tmp_path, strategy):
    since = time.monotonic()
    both = start_nodes(failing, strategy, str(tmp_path / "saved"), folder=tmp_path / "run")
    for process in both:
        process.wait(60)
    assert time.monotonic() - since < 25  # of a time-out of 30
    first, second = ((tmp_path / f"saved-{rank}.txt").read_text() for rank in range(2))
    assert first == "ValueError: \n  \nboom in a callback"
    where = f"{STRATEGIES[strategy][0]} stopped at training batch 0 of epoch 0"
    assert second.startswith(f"StageError: {where}: boom in a callback")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_callback_that_takes_longer_than_the_time_out_is_no_hang(tmp_path, strategy):
    run_nodes(slow, strategy, folder=tmp_path / "run")
