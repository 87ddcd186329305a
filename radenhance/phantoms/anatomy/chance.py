"""Random numbers that depend on what they are for, not on the order of calls."""

import zlib

import numpy as np


def generator(*words: int | str) -> np.random.Generator:
    """Make a PCG64 generator from numbers and names; equal words, equal numbers anywhere."""
    entropy = [word if isinstance(word, int) else zlib.crc32(word.encode()) for word in words]
    return np.random.Generator(np.random.PCG64(entropy))
