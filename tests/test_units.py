"""Sizes of memory as people write and read them."""

import pytest

from radenhance.units import bytes_of, in_mib


@pytest.mark.parametrize(
    ("text", "expected"), [("8GiB", 8 * 2**30), ("8 GB", 8 * 10**9), ("1.5gib", 3 * 2**29)]
)
def test_sizes_of_memory_are_read(text, expected):
    assert bytes_of(text) == expected


@pytest.mark.parametrize("text", ["8", "8 GiB GB", "1.2.3GB", "-1GB", "GiB", "", "8 gigs"])
def test_what_is_no_size_of_memory_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="write 8GiB or 8GB"):
        bytes_of(text)


def test_bytes_are_shown_in_whole_mib():
    assert in_mib(3 * 2**30) == "3,072 MiB"
