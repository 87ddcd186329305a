"""Packages that few commands need, and that installing radenhance alone leaves out.

A command that needs them asks here first, so that it says what to install before it works in vain.
"""

from importlib.util import find_spec

from radenhance.errors import UsageError

EXTRAS = {
    "demo": ("data_store",),
    "jpeg12": ("imagecodecs",),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "serve": ("pynetdicom",),
}
"""Extra of pyproject.toml -> the modules that its packages install."""


def require_extra(extra: str, purpose: str) -> None:
    """Check that the packages of an extra are installed, without importing them.

    Args:
        extra: A key of EXTRAS.
        purpose: What needs them, such as a command, as the subject of a sentence.

    Raises:
        UsageError: One is missing; the message says which, and how to install it.
    """
    missing = missing_of(extra)
    if missing:
        raise UsageError(
            f"{purpose} needs {' and '.join(missing)}, not installed here; "
            f"run: pip install 'radenhance[{extra}]'"
        )


def missing_of(extra: str) -> list[str]:
    """Return the modules of an extra that are not installed."""
    return [module for module in EXTRAS[extra] if find_spec(module) is None]
