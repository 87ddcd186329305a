"""Units of memory and time: bytes printed in MiB and read in any unit, seconds as people say."""

import re

MIB = 2**20
GIB = 2**30

UNITS = {"m": MIB, "mb": MIB, "mib": MIB, "g": GIB, "gb": GIB, "gib": GIB}
"""Unit in lower case -> bytes: a card that is sold with 8 GB has 8 GiB."""


def in_mib(num_bytes: float) -> str:
    """Return a number of bytes as a person reads it, such as 1,024 MiB."""
    return f"{num_bytes / MIB:,.0f} MiB"


def bytes_of(text: str) -> int:
    """Return the bytes that `8GiB`, `8gb` or `500 MB` means, of the memory of a card.

    Raises:
        ValueError: It is none of these.
    """
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]+)\s*", text)
    if found is None or found[2].lower() not in UNITS:
        raise ValueError(f"{text!r} is no size of memory; write 8GB or 8GiB")
    return round(float(found[1]) * UNITS[found[2].lower()])


def in_minutes(seconds: float) -> str:
    """Return a time as a person says it, such as 40 s, 12 min or 3 h 5 min."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
