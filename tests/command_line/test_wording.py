"""Errors name parameters; the command line says flags."""

import logging
import pickle

import pytest

from radenhance.command_line.wording import in_flags, log_in_flags
from radenhance.errors import ParameterError


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("MemoryTechniques.band_rows is -1", "--model.memory.band_rows is -1"),
        ('use Trainer(precision="16-mixed") or', "use --trainer.precision=16-mixed or"),
        ("MemoryTechniques(band_rows=0).", "--model.memory.band_rows=0."),
        ('go on with Trainer.fit(ckpt_path="last")', "go on with --ckpt_path=last"),
        ("`Trainer.fit` stopped: `max_epochs=2`", "`Trainer.fit` stopped: `max_epochs=2`"),
        ("Trainer.fit.ckpt_path x: no such file", "--ckpt_path x: no such file"),
        ("ContrastEnhancer.lr_scheduler.monitor x is", "--model.lr_scheduler.monitor x is"),
        ("RadiographDataModule.root x: no such folder", "--data.root x: no such folder"),
    ],
)
def test_parameters_become_flags(message, expected):
    assert in_flags(message) == expected


def test_a_wrong_value_carries_what_was_got_and_expected_through_processes():
    error = ParameterError("MemoryTechniques.band_rows", got=-1, expected="rows, or 0 for none")
    again = pickle.loads(pickle.dumps(error))
    for one in (error, again):
        assert str(one) == "MemoryTechniques.band_rows is -1, expected rows, or 0 for none"
        assert (one.parameter, one.got) == ("MemoryTechniques.band_rows", -1)


def test_what_callbacks_log_says_flags_too(caplog):
    log_in_flags()
    log = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    with caplog.at_level(logging.INFO, logger=log.name):
        log.info("to go on, add Trainer.fit(ckpt_path=%s)", '"last"')
    assert "to go on, add --ckpt_path=last" in [record.getMessage() for record in caplog.records]
