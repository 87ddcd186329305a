import json
import sys
from pathlib import Path
from types import ModuleType

import pydicom
import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs/enhance.ipynb"


@pytest.fixture
def _shown(monkeypatch):
    """What a notebook brings along and the tests do not."""
    display = ModuleType("IPython.display")
    display.Image = Path
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)


@pytest.mark.usefixtures("_shown")
def test_the_notebook_runs_from_top_to_bottom_and_keeps_no_output():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    codes = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in codes)
    exec("\n".join(cell["source"] for cell in codes), {"__name__": "notebook"})
    assert pydicom.dcmread("dog_enhanced.dcm").SeriesDescription.endswith("(enhanced)")
    assert Path("presets.png").stat().st_size > 1000
