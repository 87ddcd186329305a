"""A sample of the campaign: hostile and damaged files do no harm, and are refused in a sentence."""

from pathlib import Path

import pytest


@pytest.mark.filterwarnings("ignore")
def test_hostile_files_of_each_family_do_no_harm(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    from checkpoints import CHECKPOINTS, MODELS, all_rows

    rows = list(all_rows(len(CHECKPOINTS), 2 * len(MODELS)))
    assert len(rows) == len(CHECKPOINTS) + 2 * len(MODELS)
    assert {family for family, *_ in rows} == {f.__name__.strip("_") for f in CHECKPOINTS + MODELS}
    assert [row for row in rows if row[1] not in ("refused", "loaded")] == []
