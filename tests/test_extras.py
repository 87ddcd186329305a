import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from radenhance.cli import main
from radenhance.enhancer import ContrastEnhancer
from radenhance.errors import UsageError
from radenhance.extras import EXTRAS
from radenhance.prepare.real import make_real_pairs

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
WITHOUT_EXTRAS = (
    "import sys; "
    f"sys.modules.update(dict.fromkeys({[m for modules in EXTRAS.values() for m in modules]})); "
)
"""Start of a program in which the modules of no extra can be imported."""


def run(code, *arguments):
    """Run a program without extras; it must end well."""
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS + code, *arguments], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("extra", EXTRAS)
def test_extra_installs_the_modules_that_are_asked_for(extra):
    declared = {line.split(">=")[0] for line in PROJECT["optional-dependencies"][extra]}
    providers = packages_distributions()
    assert {name for module in EXTRAS[extra] for name in providers[module]} == declared


@pytest.mark.parametrize("module", EXTRAS["onnx"])
def test_quantize_says_what_to_install_before_it_works(module, monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["quantize", f"--ckpt_path={saved(tmp_path)}"]) == 2
    assert capsys.readouterr().err == (
        f"radenhance: radenhance quantize needs {module}, not installed here; "
        "run: pip install 'radenhance[onnx]'\n"
    )


def saved(folder):
    """A file where a checkpoint is looked for; nothing reads it."""
    path = folder / "run.ckpt"
    path.touch()
    return path


def test_int8_model_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match=r"onnxruntime.*pip install 'radenhance\[onnx\]'"):
        ContrastEnhancer("resnet18", int8=Path("int8.onnx"))


def test_real_radiographs_say_what_to_install_and_leave_no_folder(monkeypatch):
    monkeypatch.setitem(sys.modules, "data_store", None)
    with pytest.raises(UsageError, match=r"data_store.*pip install 'radenhance\[demo\]'"):
        make_real_pairs(Path("real"))
    assert list(Path().iterdir()) == []


def test_a_network_trains_without_extras(tiny_flags):
    code = "from radenhance.cli import main; sys.exit(main(sys.argv[1:]))"
    run(code, "fit", *tiny_flags, "--trainer.fast_dev_run=1")


def test_every_command_starts_without_extras():
    modules = "from radenhance.cli import COMMANDS; from importlib import import_module; "
    run(modules + "[import_module(name) for name in COMMANDS.values()]")
