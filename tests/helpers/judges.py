"""Independent judges of DICOM files, dciodvfy of dicom3tools and DCMTK, and real files for them."""

import shutil
import subprocess
from pathlib import Path

import pydicom.data
import pytest
from pydicom.data import get_charset_files, get_testdata_file

REAL = (
    *(f"RG{i}_{kind}.dcm" for i in (1, 3) for kind in ("UNCI", "UNCR", "J2KI", "J2KR")),
    *("6154", "6247", "6278", "chrJapMulti.dcm", "chrJapMultiExplicitIR6.dcm"),
    *("chrKoreanMulti.dcm", "mlut_18.dcm", "vlut_04.dcm"),
)
"""Names of CR and SC images of pydicom and pydicom-data, in three syntaxes; some without pixels."""


def need(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


def errors_of(path: Path) -> set[str]:
    """What dciodvfy calls an error."""
    result = subprocess.run(["dciodvfy", path], capture_output=True, text=True, errors="replace")
    return {line for line in result.stderr.splitlines() if line.startswith("Error")}


def example(name: str) -> Path:
    """A file of pydicom or pydicom-data, wherever they keep it."""
    charset = get_charset_files(name)
    below = Path(pydicom.data.__file__).parent.rglob(name)
    return Path(charset[0] if charset else next(below, None) or get_testdata_file(name))
