"""A sample of the campaign: hostile and damaged files do no harm, and are refused in a sentence."""

import subprocess
import sys
from pathlib import Path

CAMPAIGN = Path(__file__).with_name("checkpoints.py")


def test_sixty_hostile_files_do_no_harm():
    result = subprocess.run(
        [sys.executable, CAMPAIGN, "48", "12"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]
    rows = [row.split(" | ") for row in result.stdout.splitlines()[2:]]
    assert sum(int(row[1]) for row in rows) == 60
