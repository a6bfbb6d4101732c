"""The American Standard Version (1901), word by word; pythonbible ships it."""

import collections
import functools
import itertools
import re

import numpy as np

from benchmarks.unseen_data.vocabulary import coded, numbered
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


@functools.cache
def verses() -> Data:
    """Verses of the ten longest books; the target is the book, 0 to 9."""
    lengths = collections.Counter(book for book, _ in _verses())
    longest = sorted(book for book, _ in lengths.most_common(BOOKS))
    chosen = [(b, words) for b, words in _verses() if b in longest]
    texts = [words for _, words in chosen]
    numbers = numbered(itertools.chain(*texts), COMMONER, 2)
    x = coded(texts, numbers, VERSE)
    y = np.array([longest.index(book) for book, _ in chosen], "int32")
    return Data.split(x, y, held_back=1_500)


@functools.cache
def next_words() -> Data:
    """Eight words of the whole text, 0 for a rare one; the target is the next."""
    words = [word for _, verse in _verses() for word in verse]
    numbers = numbered(words, COMMON, 1)
    codes = np.array([numbers.get(word, 0) for word in words], "int32")
    length = CONTEXT + 1
    windows = codes[: len(codes) // length * length].reshape(-1, length)
    return Data.split(windows[:, :-1], windows[:, -1], held_back=5_000)
