"""The American Standard Version (1901), word by word; pythonbible ships it."""

import collections
import functools
import re

import numpy as np

from benchmarks.workload import Data

LAST_BOOK = 66
"""Revelation; the Apocrypha, which come behind it, are not in this version."""

BOOKS = 10
"""The longest books, whose verses are told apart."""

VERSE = 24
"""Words of a verse: longer ones are cut, shorter ones filled up with zeros."""

CONTEXT = 8
"""Words from which the next is foretold."""

COMMON, COMMONER = 4096, 2500
"""Words of the vocabularies, of the whole and of the longest books."""


@functools.cache
def _verses() -> list[tuple[int, list[str]]]:
    """Number of the book and words, of every verse."""
    import pythonbible

    version = pythonbible.Version.AMERICAN_STANDARD
    found = []
    for verse in pythonbible.verses.VERSE_IDS:
        book = verse // 1_000_000
        if book <= LAST_BOOK:
            text = pythonbible.get_verse_text(verse, version=version)
            found.append((book, re.findall(r"[a-z]+", text.lower())))
    return found


def _numbers(words, size: int, first: int) -> dict[str, int]:
    """The commonest words, numbered from `first` on to `size - 1`."""
    # Of equally common words, the first in the alphabet.
    counts = collections.Counter(words)
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return {word: i for i, word in enumerate(ranked[: size - first], first)}


@functools.cache
def verses() -> Data:
    """Verses of the ten longest books; the target is the book, 0 to 9."""
    lengths = collections.Counter(book for book, _ in _verses())
    longest = sorted(book for book, _ in lengths.most_common(BOOKS))
    chosen = [(b, words) for b, words in _verses() if b in longest]
    numbers = _numbers((w for _, words in chosen for w in words), COMMONER, 2)
    x = np.zeros((len(chosen), VERSE), "int32")
    for line, (_, words) in zip(x, chosen, strict=True):
        codes = [numbers.get(word, 1) for word in words[:VERSE]]
        line[: len(codes)] = codes
    y = np.array([longest.index(book) for book, _ in chosen], "int32")
    return Data.split(x, y, held_back=1_500)


@functools.cache
def next_words() -> Data:
    """Eight words of the whole text, 0 for a rare one; the target is the next."""
    words = [word for _, verse in _verses() for word in verse]
    numbers = _numbers(words, COMMON, 1)
    codes = np.array([numbers.get(word, 0) for word in words], "int32")
    length = CONTEXT + 1
    windows = codes[: len(codes) // length * length].reshape(-1, length)
    return Data.split(windows[:, :-1], windows[:, -1], held_back=5_000)
