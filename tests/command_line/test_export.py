from pathlib import Path

import pytest
from small_package import small_checkpoint

from radenhance.cli import main
from radenhance.errors import UsageError
from radenhance.inference import export as exporting
from radenhance.inference.export import Parity


def test_differences_are_printed_beside_the_size_of_the_file(monkeypatch, capsys):
    def export(checkpoint, output, *, at, int8):
        assert at == "native"
        output.write_bytes(bytes(1_500_000))
        return [Parity("RG1", (204, 192), 4.2e-7, 6e-8)]

    monkeypatch.setattr(exporting, "export", export)
    small_checkpoint("small.ckpt")
    assert main(["export", "small.ckpt", "made.onnx", "--at=native"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[1].split() == ["RG1", "204", "x", "192", "4.2e-07", "6e-08"]
    assert printed[-1].startswith("made.onnx: 1.5 MB, float32.")


def test_a_checkpoint_that_did_not_train_for_int8_is_refused(capsys):
    small_checkpoint("small.ckpt")
    assert main(["export", "small.ckpt", "made.onnx", "--int8"]) == 2
    assert "was not trained for int8" in capsys.readouterr().err
    assert not Path("made.onnx").exists()


def test_missing_packages_are_named_first(monkeypatch, capsys):
    def missing(extra, purpose):
        raise UsageError(f"{purpose} needs onnx")

    monkeypatch.setattr("radenhance.command_line.export.require_extra", missing)
    assert main(["export", "none.ckpt", "made.onnx"]) == 2
    assert "radenhance export needs onnx" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["small.ckpt"]])
def test_checkpoint_and_file_are_needed(arguments):
    with pytest.raises(SystemExit, match="2"):
        main(["export", *arguments])
