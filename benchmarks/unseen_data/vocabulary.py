"""Words or characters as numbers, the commonest ones with a number of their own."""

import collections
from collections.abc import Iterable, Mapping, Sequence

import numpy as np


def numbered(items: Iterable[str], size: int, first: int) -> dict[str, int]:
    """The commonest of all, numbered from `first` on to `size - 1`."""
    # Of equally common ones, the first in the alphabet.
    counts = collections.Counter(items)
    ranked = sorted(counts, key=lambda item: (-counts[item], item))
    return {item: i for i, item in enumerate(ranked[: size - first], first)}


def coded(
    texts: Sequence[Sequence[str]], numbers: Mapping[str, int], length: int
) -> np.ndarray:
    """A line of numbers for each text: 1 for what has none, 0 after the end."""
    codes = np.zeros((len(texts), length), "int32")
    for line, text in zip(codes, texts, strict=True):
        found = [numbers.get(item, 1) for item in text[:length]]
        line[: len(found)] = found
    return codes
