import pytest
from other_files import FILES

from radenhance.dicom.other_formats import NUM_BYTES, identified
from radenhance.dicom.read import read
from radenhance.errors import NoRadiographError


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_format_is_named_in_words_with_what_to_do(name, tmp_path):
    path = tmp_path / "file.dat"
    path.write_bytes(FILES[name]())
    with pytest.raises(NoRadiographError) as caught:
        read(path)
    said = str(caught.value).removeprefix(f"{path}: the file is ")
    what, _, advice = said.partition("; ")
    assert what.startswith(("a ", "an "))
    assert name.split()[0] in what
    assert what.endswith("expected DICOM, PNG, TIFF or NPY")
    assert advice.split()[0] in ("it", "convert", "unpack")
    assert said.isprintable()


def test_a_file_whose_format_is_unknown_says_that():
    assert identified(bytes(range(128, 255)))[0] == "in no format that is known here"
    assert identified(bytes(NUM_BYTES))[0] == "all zeros at its start"


def test_text_is_text_though_a_character_is_cut_off():
    assert identified("Röntgen".encode()[:2])[0] == "a text file"
    assert identified(b"\xff" + b"a" * 99)[0] != "a text file"
