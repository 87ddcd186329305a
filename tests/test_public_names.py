"""What `import radenhance` offers, and what it costs."""

import subprocess
import sys

import pytest

import radenhance


def test_every_public_name_is_there():
    assert set(radenhance.__all__) <= set(dir(radenhance))
    for name in radenhance.__all__:
        assert getattr(radenhance, name).__name__ == name


def test_another_name_is_none():
    with pytest.raises(AttributeError, match="no attribute 'enhanced'"):
        radenhance.enhanced  # noqa: B018


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_importing_the_package_imports_nothing_else():
    code = "import sys, radenhance; print([n for n in sys.modules if n.startswith('radenhance.')])"
    assert python(code).stdout.strip() == "[]"


def test_a_strategy_registers_itself_when_it_is_imported():
    code = (
        "from radenhance import EncoderDecoderStrategy\n"
        "from lightning.pytorch.strategies import StrategyRegistry\n"
        "print(StrategyRegistry.get('encoder_decoder') is not None)"
    )
    assert python(code).stdout.strip() == "True"
