"""Sizes of memory as people write and read them."""

import pytest

from radenhance.units import bytes_of, in_mib, in_minutes


@pytest.mark.parametrize(
    ("text", "expected"),
    [("8GiB", 2**33), ("8 GB", 2**33), ("8gb", 2**33), ("1.5g", 3 * 2**29), ("500MB", 500 * 2**20)],
)
def test_sizes_of_memory_are_read(text, expected):
    assert bytes_of(text) == expected


@pytest.mark.parametrize("text", ["8", "8 GiB GB", "1.2.3GB", "-1GB", "GiB", "", "8 gigs"])
def test_what_is_no_size_of_memory_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="write 8GB or 8GiB"):
        bytes_of(text)


def test_bytes_are_shown_in_whole_mib():
    assert in_mib(3 * 2**30) == "3,072 MiB"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (99, "99 s"), (100, "2 min"), (3580, "1 h 0 min"), (11_100, "3 h 5 min")],
)
def test_times_are_said_as_people_say_them(seconds, text):
    assert in_minutes(seconds) == text
