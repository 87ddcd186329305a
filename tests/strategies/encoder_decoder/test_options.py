"""Options are refused where they are given, by the name that they have there."""

import pytest

from radenhance.command_line.wording import in_flags
from radenhance.errors import ParameterError
from radenhance.strategies import EncoderDecoderStrategy


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"micro_batch_size": 0}, "EncoderDecoderStrategy.micro_batch_size is 0, expected at"),
        ({"schedule": "zero"}, "EncoderDecoderStrategy.schedule is 'zero', expected one of auto"),
    ],
)
def test_a_wrong_option_is_named_by_the_class_that_takes_it(options, message):
    with pytest.raises(ParameterError, match=message) as refused:
        EncoderDecoderStrategy(**options)
    assert "--trainer.strategy." in in_flags(str(refused.value))


def test_options_cannot_be_changed_once_processes_agree_on_them():
    with pytest.raises(AttributeError):
        EncoderDecoderStrategy().options.cut = "decoder1"
