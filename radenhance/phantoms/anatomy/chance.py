"""Random numbers that depend on what they are for, not on the order of calls.

A new organ can draw numbers of its own without moving those that were there before.
"""

import zlib

import numpy as np


def generator(*words: int | str) -> np.random.Generator:
    """Return a PCG64 generator that numbers and names determine, in any process."""
    entropy = [word if isinstance(word, int) else zlib.crc32(word.encode()) for word in words]
    return np.random.Generator(np.random.PCG64(entropy))
