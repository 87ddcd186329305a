import pytest

from radenhance.dicom.declaration import Declaration
from radenhance.errors import ParameterError


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"bone": "white"}, "bone is 'white', expected bright or dark"),
        ({"bits": 0}, "bits is 0, expected 1 to 16"),
        ({"bits": 17}, "bits is 17, expected 1 to 16"),
        ({"relationship": "X"}, "relationship is 'X', expected LIN or LOG"),
    ],
)
def test_a_value_that_means_nothing_is_refused_by_name(wrong, message):
    with pytest.raises(ParameterError, match=f"^Declaration.{message}$"):
        Declaration(**wrong)


@pytest.mark.parametrize("bits", range(1, 17))
@pytest.mark.parametrize("bone", ["bright", "dark", None])
def test_every_meaningful_value_is_taken(bits, bone):
    assert Declaration(bone=bone, bits=bits, relationship="LIN").bits == bits
