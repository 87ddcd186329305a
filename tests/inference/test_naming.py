import itertools

import pytest

from radenhance.inference.naming import key_of, output_name

WORDS = frozenset({"quillfeather", "zorbax", "qf774411"})
KEY = key_of("a.dcm", "1.2.3")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("thorax.dcm", "thorax"),
        ("dogs/limb 3/left.DCM", "dogs/limb 3/left"),
        ("IM000001", "IM000001"),
        ("1.2.840.113", "1.2.840.113"),
        ("лапа.png", "лапа"),
        ("a\nb*c?.png", "a_b_c_"),
        ("..", "_.."),
    ],
)
def test_a_name_that_tells_nobody_stays(name, expected):
    assert output_name(name, KEY, WORDS, ()) == expected


def planted():
    """Names, numbers and dates in each part of a path, with what stands around them."""
    secrets = ("Quillfeather", "ZORBAX", "QF774411", "2019-03-04", "20190304")
    patterns = ("{}", "{}_Rex", "x-{}", "({})")
    for secret, pattern in itertools.product(secrets, patterns):
        part = pattern.format(secret)
        yield secret, f"{part}/left.dcm"
        yield secret, f"dogs/{part}/1/left.dcm"
        yield secret, f"dogs/{part}.dcm"
        yield secret, f"{part}/{part}"


def test_names_numbers_and_dates_are_in_no_part_of_an_output():
    for secret, name in planted():
        result = output_name(name, KEY, WORDS, ())
        assert secret.lower() not in result.lower(), name
        assert result.endswith(("left", f"image-{KEY}")), name


def test_a_name_that_another_image_has_is_told_apart_by_its_key():
    assert output_name("Zorbax/left.dcm", KEY, WORDS, {"left"}) == f"left-{KEY}"


def test_no_part_leads_out_of_the_folder_or_is_too_long():
    for name in ("../a.png", "a/../../b.png", "./c.png", "x" * 300 + ".png"):
        parts = output_name(name, KEY, WORDS, ()).split("/")
        assert not {"..", "."} & {*parts}
        assert max(map(len, parts)) <= 120


def test_files_of_one_name_in_two_folders_and_copies_have_keys_of_their_own():
    keys = {key_of(name, uid) for name in ("a/1.dcm", "b/1.dcm") for uid in ("", "1.2", "1.3")}
    assert len(keys) == 6
