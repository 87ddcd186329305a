from pathlib import Path

import pytest
import torch
from narrow import NARROW

from radenhance.cli import main

RESNET = f"--model.encoder={NARROW}"
LAST = "lightning_logs/fit_64_0/checkpoints/last.ckpt"

RESUMED = ["--ckpt_path=last"]


def state(path=LAST):
    return torch.load(path, weights_only=True)["state_dict"]


@pytest.fixture
def qat_run(tiny_flags):
    flags = [*tiny_flags, RESNET, "--trainer.max_epochs=2"]
    assert main(["fit", *flags, "--model.memory.quantization=qat"]) == 0
    return flags


def test_run_becomes_an_int8_file_that_is_measured_and_predicts(qat_run, tiny_dataset, capsys):
    arguments = ["--ckpt_path=last", f"--root={tiny_dataset}", "--output=small.onnx"]
    assert main(["quantize", *arguments]) == 0
    printed = capsys.readouterr().out
    rows = {line.split("  ")[0]: line.split()[-4:] for line in printed.splitlines() if "." in line}
    float_mb, int8_mb = float(rows["float"][-1]), float(rows["int8"][-1])
    assert int8_mb < 0.3 * float_mb
    assert float(rows["int8"][1]) > 0.9  # agrees with the network as it trained
    command = next(line for line in printed.splitlines() if line.startswith("radenhance predict"))
    assert "--model.int8 small.onnx" in command
    arguments = [*command.split()[1:-1], f"{tiny_dataset}/raw", "--output.folder=enhanced"]
    assert main([*arguments, "--trainer.accelerator=cpu", "--data.num_workers=0"]) == 0
    assert len([path for path in Path("enhanced").rglob("*") if path.is_file()]) == 8
    assert tiny_dataset.parent.name.encode() not in Path("small.onnx").read_bytes()


def test_a_float_run_is_refused(tiny_flags, tiny_dataset, capsys):
    assert main(["fit", *tiny_flags, RESNET, "--trainer.max_epochs=1"]) == 0
    assert main(["quantize", "--ckpt_path=last", f"--root={tiny_dataset}"]) == 2
    assert "was not trained for int8; train with --config quant.yaml" in capsys.readouterr().err
    assert not Path("int8.onnx").exists()


def test_an_int8_model_does_not_train(tiny_flags, capsys):
    assert main(["fit", *tiny_flags, "--model.int8=missing.onnx"]) == 2
    assert "no such file" in capsys.readouterr().err


def test_checkpoints_go_from_float_to_quantized_and_back(tiny_flags):
    flags = [*tiny_flags, RESNET]
    assert main(["fit", *flags, "--trainer.max_epochs=1"]) == 0
    plain = state()
    resume = ["--ckpt_path=last", "--model.memory.quantization"]
    assert main(["fit", *flags, "--trainer.max_epochs=2", *resume, "qat"]) == 0
    ranges = state().keys() - plain.keys()
    assert len(ranges) == 41
    assert all(name.startswith("unet.ranges.") for name in ranges)
    assert all(state()[name].isfinite().all() for name in ranges)
    assert main(["fit", *flags, "--trainer.max_epochs=3", *resume, "none"]) == 0
    assert state().keys() == plain.keys()


def test_a_quantized_run_resumes_bit_for_bit(tmp_path, monkeypatch, tiny_flags):
    flags = [*tiny_flags, RESNET, "--model.memory.quantization=qat", "--trainer.max_epochs=2"]
    states = []
    for folder, runs in (("whole", [[]]), ("stopped", [["--trainer.max_steps=3"], RESUMED])):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        for more in runs:
            # a rate that does not depend on how long the run is meant to be
            assert main(["fit", *flags, "--model.lr_scheduler=ConstantLR", *more]) == 0
        states.append(state())
    whole, resumed = states
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
