"""A wrong value of a class is told by the reason alone."""

import pytest

from radenhance.errors import UsageError
from radenhance.flags.parser import parse_flags

CALLBACKS, OPTIMIZER, SCHEDULE = "--trainer.callbacks", "--model.optimizer", "--model.lr_scheduler"
STOPPING = [f"{CALLBACKS}+=EarlyStopping", f"{CALLBACKS}.monitor=val/loss"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ([STOPPING[0]], f"{CALLBACKS}: the following arguments are required: monitor; "),
        ([*STOPPING, f"{CALLBACKS}.patience=few"], "Expected a <class 'int'>. Got value: few; "),
        ([*STOPPING, f"{CALLBACKS}.patienc=3"], f"{CALLBACKS}: Option 'patienc' is not accepted; "),
        ([f"{CALLBACKS}+=Stopping"], f"{CALLBACKS} Stopping is no class that is known here"),
        ([f"{OPTIMIZER}=Adam", f"{OPTIMIZER}.lrr=3"], f"{OPTIMIZER}: Option 'lrr' is not accep"),
        ([f"{SCHEDULE}=StepLR"], f"{SCHEDULE}: the following arguments are required: step_size"),
    ],
    ids=" ".join,
)
def test_what_is_wrong_with_a_class_is_one_sentence(typed, said):
    with pytest.raises(UsageError) as refused:
        parse_flags("fit", typed)
    assert said in str(refused.value)
    assert len(str(refused.value)) < 200
