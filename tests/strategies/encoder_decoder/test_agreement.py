"""Both processes end together: asked to, or because one of them fails."""

import time

import torch
from one_program import all_signals, failing, slow
from processes import run_nodes, start_nodes


def test_a_signal_to_one_process_ends_both_after_the_batch_with_a_checkpoint(tmp_path):
    run_nodes(all_signals, str(tmp_path / "of"), folder=tmp_path / "run")
    decoder, encoder = (
        torch.load(tmp_path / f"of-{rank}.pt", weights_only=True) for rank in range(2)
    )
    assert list(decoder) == list(encoder) == ["0 in train", "1 in train", "1 in validation"]
    for case, (seconds, step) in decoder.items():
        assert seconds < 15  # of a time-out of 20
        assert encoder[case][1] == step
        folder = tmp_path / f"of-{case.replace(' in ', '-')}"
        (written,) = folder.iterdir()
        assert torch.load(written, weights_only=True)["global_step"] == step


def test_what_fails_in_one_process_is_said_by_both_though_a_callback_would_save(tmp_path):
    since = time.monotonic()
    both = start_nodes(failing, str(tmp_path / "saved"), folder=tmp_path / "run")
    for process in both:
        process.wait(60)
    assert time.monotonic() - since < 25  # of a time-out of 30
    decoder, encoder = ((tmp_path / f"saved-{rank}.txt").read_text() for rank in range(2))
    assert decoder == "ValueError: \n  \nboom in a callback"
    where = "the decoder (rank 0) stopped at training batch 0 of epoch 0"
    assert encoder.startswith(f"StageError: {where}: boom in a callback")


def test_a_callback_that_takes_longer_than_the_time_out_is_no_hang(tmp_path):
    run_nodes(slow, folder=tmp_path / "run")
