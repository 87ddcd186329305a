"""A run that stopped and went on ends with the very weights of one that did not stop."""

import os
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import processes
import pytest
import torch

from radenhance.callbacks.last_checkpoint import LastCheckpoint
from radenhance.checkpoint import Checkpoint
from radenhance.cli import main
from radenhance.enhancer import ContrastEnhancer

LAST = Path("lightning_logs/fit_64_0/checkpoints/last.ckpt")


class PowerCutError(Exception):
    pass


def weights(checkpoint=LAST):
    content = torch.load(checkpoint, weights_only=True)
    return content["state_dict"], content["global_step"]


def run(folder, monkeypatch, *arguments, cut_at=None):
    """Fit in `folder`; with `cut_at`, stop dead in the middle of that optimizer step."""
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    with monkeypatch.context() as patch:
        if cut_at is not None:
            step = ContrastEnhancer.training_step

            def training_step(self, batch, batch_idx):
                if self.global_step == cut_at:
                    raise PowerCutError
                return step(self, batch, batch_idx)

            patch.setattr(ContrastEnhancer, "training_step", training_step)
            with pytest.raises(PowerCutError):
                main(["fit", *arguments])
            return None
        assert main(["fit", *arguments]) == 0
    return weights()


SCHEDULES = {  # as flags; test_resume_matrix.py crosses all kinds with all else
    "per epoch, until max_steps": [
        "--trainer.max_steps=12",
        "--model.lr_scheduler=StepLR",
        "--model.lr_scheduler.step_size=1",
        "--model.lr_scheduler.gamma=0.3",
    ],
    "warm-up, the encoder frozen": [
        "--model.warmup_steps=7",
        "--model.frozen_encoder_epochs=2",
    ],
    "plateau": [
        "--model.lr_scheduler=lightning.pytorch.cli.ReduceLROnPlateau",
        "--model.lr_scheduler.monitor=val/loss",
        "--model.lr_scheduler.patience=0",
        "--model.lr_scheduler.threshold=1000",
        "--model.lr_scheduler.threshold_mode=abs",
    ],
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_resumed_weights_are_bit_identical(tmp_path, monkeypatch, tiny_flags, schedule):
    flags = [
        *tiny_flags,
        *SCHEDULES[schedule],
        "--trainer.max_epochs=4",
        "--last_checkpoint.every_n_steps=2",
    ]
    whole, steps = run(tmp_path / "whole", monkeypatch, *flags)
    for cut_at in (5, 6):  # in the second epoch, whose last checkpoint is of step 4, and after it
        folder = tmp_path / f"cut at {cut_at}"
        run(folder, monkeypatch, *flags, cut_at=cut_at)
        assert weights()[1] == (4 if cut_at == 5 else 6)
        resumed, resumed_steps = run(folder, monkeypatch, *flags, "--ckpt_path=last")
        assert resumed_steps == steps == 12
        for name, tensor in whole.items():
            assert torch.equal(resumed[name], tensor), name
        assert [path.name for path in Path("lightning_logs").iterdir()] == ["fit_64_0"]


def test_weights_of_double_precision_are_loaded_whole(tmp_path, monkeypatch, tiny_flags):
    flags = [*tiny_flags, "--trainer.precision=64-true", "--trainer.max_epochs=1"]
    saved, steps = run(tmp_path, monkeypatch, *flags)
    assert any(not torch.equal(tensor.float().double(), tensor) for tensor in saved.values())
    loaded = {}
    monkeypatch.setattr(
        ContrastEnhancer,
        "on_fit_start",
        lambda self: loaded.update(self.state_dict()),
        raising=False,
    )
    assert run(tmp_path, monkeypatch, *flags, "--ckpt_path=last")[1] == steps  # there is no more
    assert all(torch.equal(loaded[name], tensor) for name, tensor in saved.items())


def test_flags_that_differ_from_the_checkpoint_take_effect_or_are_refused(
    tmp_path, monkeypatch, tiny_flags, capsys, caplog
):
    run(tmp_path / "run", monkeypatch, *tiny_flags, "--trainer.max_epochs=1")
    lr = "ContrastEnhancer.optimizer.lr is 0.0005 from here on, and was 0.001 in the checkpoint"
    told = caplog.at_level("INFO", "lightning.pytorch.utilities.rank_zero")
    with told, pytest.warns(UserWarning, match=lr):
        run(
            tmp_path / "run",
            monkeypatch,
            *tiny_flags,
            "--trainer.max_epochs=2",
            "--model.optimizer.lr=0.0005",
            "--ckpt_path=last",
        )
    said = [record.getMessage() for record in caplog.records]
    extended = "The run was to end at step 3 and now ends at step 6; by"
    assert len([message for message in said if message.startswith(extended)]) == 1
    content = torch.load(LAST, weights_only=True)
    (group,) = content["optimizer_states"][0]["param_groups"]
    assert (group["initial_lr"], group["lr"]) == (0.0005, pytest.approx(0.000005))
    assert content["lr_schedulers"][0]["num_steps"] == 3
    other = ["--model.lr_scheduler=StepLR", "--model.lr_scheduler.step_size=1"]
    assert main(["fit", *tiny_flags, *other, "--ckpt_path=last"]) != 0
    assert "was made with --model.lr_scheduler null (the default)" in capsys.readouterr().err


def start(folder, *arguments):
    folder.mkdir()
    return subprocess.Popen(
        [sys.executable, "-m", "radenhance", "fit", *arguments],
        cwd=folder,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(path, process, seconds=90):
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.05)


def test_killed_mid_epoch_with_workers_and_resumed(tmp_path, monkeypatch, tiny_flags):
    flags = [
        *tiny_flags,
        "--data.num_workers=1",
        "--trainer.max_epochs=6",
        "--last_checkpoint.every_n_steps=2",
    ]
    process = start(tmp_path / "killed", *flags)
    wait_for(tmp_path / "killed" / LAST, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    _, steps_when_killed = weights(tmp_path / "killed" / LAST)
    assert 0 < steps_when_killed < 18
    whole, _ = run(tmp_path / "whole", monkeypatch, *flags)
    resumed, steps = run(tmp_path / "killed", monkeypatch, *flags, "--ckpt_path=last")
    assert steps == 18
    for name, tensor in whole.items():
        assert torch.equal(resumed[name], tensor), name


STOPS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("stop", STOPS)
def test_asked_to_stop_it_saves_and_says_how_to_go_on(tmp_path, tiny_flags, stop):
    folder = tmp_path / "stopped"
    fit = processes.start(
        *(processes.command, "fit", *tiny_flags, "--trainer.max_epochs=1000"),
        folder=folder,
        name="alone",
    )
    processes.wait_for_checkpoint(folder, [fit])
    os.kill(fit.process.pid, stop)
    assert fit.wait(60).code == 128 + stop
    assert "last.ckpt is saved; to go on, run the same again with --ckpt_path=last" in fit.output
    assert "Traceback" not in fit.output
    assert weights(folder / LAST)[1] >= 3


def test_one_of_two_processes_is_hung_up_and_both_save_and_end(tmp_path, tiny_flags):
    folder = tmp_path / "stopped"
    two = ["--trainer.strategy=encoder_decoder", "--trainer.num_nodes=2"]
    fits = processes.start_nodes(
        *(processes.command, "fit", *tiny_flags, *two, "--trainer.max_epochs=1000"), folder=folder
    )
    processes.wait_for_checkpoint(folder, fits)
    os.kill(fits[1].process.pid, signal.SIGHUP)
    assert {fit.wait(60).code for fit in fits} == {128 + signal.SIGHUP}
    assert "Stopped by SIGHUP" in fits[0].output
    assert weights(folder / LAST)[1] >= 3


def on_terminal(name, *arguments):
    """Run a command as the leader of a terminal's session, which a closed terminal hangs up."""
    os.setsid()
    terminal = os.open(name, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(terminal, stream)
    return processes.command(*arguments)


def test_a_terminal_that_closes_stops_a_run_that_draws_its_progress_there(tmp_path, tiny_flags):
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))  # a terminal without columns gets no bar
    folder = tmp_path / "stopped"
    bar = [flag for flag in tiny_flags if "progress_bar" not in flag]
    fit = processes.start(
        *(on_terminal, os.ttyname(theirs), "fit", *bar, "--trainer.max_epochs=1000"),
        folder=folder,
        name="alone",
    )
    drawn = b""
    while not (folder / LAST).exists() or b"Epoch 0" not in drawn:
        assert fit.code is None, drawn
        if select.select([ours], [], [], 0.05)[0]:
            drawn += os.read(ours, 10_000)
    os.close(ours)
    os.close(theirs)
    assert b"Epoch 0" in drawn
    assert fit.wait(60).code == 128 + signal.SIGHUP
    assert weights(folder / LAST)[1] >= 3


def test_a_run_leaves_the_handlers_of_signals_as_it_found_them(tmp_path, monkeypatch, tiny_flags):
    former = [signal.getsignal(stop) for stop in STOPS]
    run(tmp_path / "cut", monkeypatch, *tiny_flags, "--trainer.max_epochs=1", cut_at=1)
    assert [signal.getsignal(stop) for stop in STOPS] == former
    run(tmp_path / "whole", monkeypatch, *tiny_flags, "--trainer.max_epochs=1")
    assert [signal.getsignal(stop) for stop in STOPS] == former


def test_a_signal_right_after_a_step_loses_no_step(tmp_path, monkeypatch, tiny_flags):
    end = LastCheckpoint.on_train_batch_end

    def terminated(self, trainer, *arguments):
        end(self, trainer, *arguments)
        if trainer.global_step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(LastCheckpoint, "on_train_batch_end", terminated)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["fit", *tiny_flags, "--trainer.max_epochs=3"])
    assert ended.value.code == 128 + signal.SIGTERM
    assert weights()[1] == 5


def test_a_run_under_nohup_goes_on_without_its_terminal(tmp_path, monkeypatch, tiny_flags):
    step = ContrastEnhancer.training_step

    def hung_up(self, batch, batch_idx):
        os.kill(os.getpid(), signal.SIGHUP)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(ContrastEnhancer, "training_step", hung_up)
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        _, steps = run(tmp_path / "run", monkeypatch, *tiny_flags, "--trainer.max_epochs=1")
    finally:
        signal.signal(signal.SIGHUP, former)
    assert steps == 3


def test_more_epochs_extend_a_finished_run(tmp_path, monkeypatch, tiny_flags):
    run(tmp_path / "run", monkeypatch, *tiny_flags, "--trainer.max_epochs=1")
    _, steps = run(
        tmp_path / "run", monkeypatch, *tiny_flags, "--trainer.max_epochs=3", "--ckpt_path=last"
    )
    assert steps == 9


EMA = """
trainer:
  callbacks:
    - class_path: lightning.pytorch.callbacks.EMAWeightAveraging
      init_args: {decay: 0.5}
"""
"""An exponential moving average of the weights, by the callback of Lightning."""


def test_averages_of_a_recipe_are_kept_validated_with_and_resumed(
    tmp_path, monkeypatch, tiny_flags
):
    (tmp_path / "ema.yaml").write_text(EMA)
    recipe = f"--config={tmp_path / 'ema.yaml'}"
    flags = [recipe, *tiny_flags, "--trainer.max_epochs=2", "--last_checkpoint.every_n_steps=2"]
    flags.append(f"--run_name={LAST.parts[1]}")
    averaged, steps = run(tmp_path / "whole", monkeypatch, *flags)
    checkpoint = Checkpoint.open(LAST)
    current = checkpoint.content["current_model_state"]
    assert any(not torch.equal(averaged[name], tensor) for name, tensor in current.items())
    assert ContrastEnhancer.from_checkpoint(checkpoint).state_dict().keys() == averaged.keys()
    validated = []
    monkeypatch.setattr(
        ContrastEnhancer,
        "on_validation_start",
        lambda self: validated.append({n: t.clone() for n, t in self.state_dict().items()}),
        raising=False,
    )
    assert main(["validate", f"--ckpt_path={LAST}", *tiny_flags]) == 0
    assert all(torch.equal(validated[0][name], tensor) for name, tensor in averaged.items())

    run(tmp_path / "cut", monkeypatch, *flags, cut_at=steps - 2)
    resumed, _ = run(tmp_path / "cut", monkeypatch, *flags, "--ckpt_path=last")
    assert all(torch.equal(resumed[name], tensor) for name, tensor in averaged.items())
    assert weights()[1] == steps
