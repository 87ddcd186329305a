"""Units of memory: printed in MiB, read in any of them."""

import re

MIB = 2**20
GIB = 2**30

UNITS = {"b": 1, "kib": 2**10, "mib": MIB, "gib": GIB, "kb": 10**3, "mb": 10**6, "gb": 10**9}


def in_mib(num_bytes: float) -> str:
    """Return a number of bytes as a person reads it, such as 1,024 MiB."""
    return f"{num_bytes / MIB:,.0f} MiB"


def bytes_of(text: str) -> int:
    """Return the bytes that `8GiB`, `8 GB` or `500MiB` means.

    Raises:
        ValueError: It is none of these.
    """
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]+)\s*", text)
    if found is None or found[2].lower() not in UNITS:
        raise ValueError(f"{text!r} is no size of memory; write 8GiB or 8GB")
    return round(float(found[1]) * UNITS[found[2].lower()])
