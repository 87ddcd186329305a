import pickle
import re
from pathlib import Path

import pytest

from radenhance import errors

CLASSES = [errors.RadenhanceError]
for base in CLASSES:
    CLASSES += [kind for kind in base.__subclasses__() if kind.__module__ == errors.__name__]
DOCUMENTED = Path(__file__).parents[1] / "docs/reference/command_line.md"


def instance(kind):
    if kind is errors.ParameterError:
        return kind("Reader.rows", got=-1, expected="a count", remedy="leave it out")
    return kind("scan.dcm has no rows")


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_of_a_worker_process_says_the_same_in_the_main_one(kind):
    raised = instance(kind)
    arrived = pickle.loads(pickle.dumps(raised))
    assert type(arrived) is kind
    assert str(arrived) == str(raised)
    assert vars(arrived) == vars(raised)


@pytest.mark.parametrize("kind", CLASSES)
def test_the_exit_code_of_each_error_is_in_the_reference(kind):
    codes = re.findall(r"^\| (\d+) \|", DOCUMENTED.read_text(), flags=re.MULTILINE)
    assert str(kind.exit_code) in codes
    assert kind.exit_code not in (0, 1), "success, or a traceback"


def test_a_wrong_parameter_reads_as_a_sentence_with_and_without_a_remedy():
    with_remedy = instance(errors.ParameterError)
    assert str(with_remedy) == "Reader.rows is -1, expected a count; leave it out"
    without = errors.ParameterError("Reader.rows", got="x", expected="a count")
    assert str(without) == "Reader.rows is 'x', expected a count"


def test_a_size_error_is_the_value_error_that_python_users_expect():
    with pytest.raises(ValueError, match="rows"):
        raise instance(errors.ImageSizeError)
