"""Names and dates in many languages, of the Unicode locales that Babel ships.

About half of the names are those of several languages, and count for each: so no
network tells all languages apart.
"""

import datetime
import functools
import itertools

import numpy as np

from benchmarks.unseen_data.vocabulary import coded, numbered
from benchmarks.workload import Data

LANGUAGES = (
    *("cs", "da", "de", "en", "es", "et", "fi", "fr"),
    *("hu", "it", "lt", "nl", "pl", "pt", "sv", "tr"),
)
"""Those whose names of countries and languages are told apart."""

NAME, LETTERS = 16, 96
"""Characters of a name, and how many different ones: 0 fills up, 1 is a rare one."""

WRITTEN = ("en", "de", "fr", "es", "it", "nl", "sv", "pl")
"""Languages in which dates are written."""

SMUDGED = 0.08
"""Share of the characters of a written date that are others."""

DATE, DIGITS, SYMBOLS = 24, 8, 48
"""Characters of a written date, of what it is translated to, and of the alphabet."""


def _coded(texts: list[str], length: int, size: int) -> np.ndarray:
    """Numbers of the characters: 0 after the end, 1 for what is rare."""
    return coded(texts, numbered(itertools.chain(*texts), size, 2), length)


@functools.cache
def names() -> Data:
    """Countries and languages, each in 16 languages; the target is which, 0 to 15."""
    from babel import Locale

    texts, y = [], []
    for i, language in enumerate(LANGUAGES):
        locale = Locale(language)
        found = {*locale.territories.values(), *locale.languages.values()}
        texts += sorted(name.lower() for name in found)
        y += [i] * len(found)
    x = _coded(texts, NAME, LETTERS)
    return Data.split(x, np.array(y, "int32"), held_back=2_000)


@functools.cache
def dates() -> Data:
    """8,000 dates as written in eight languages; the target is YYYYMMDD.

    A few characters are smudged, so that not all can be known. Behind the written
    date are the digits before each one that is to be found, 1 to 10, and a 0 for the
    first.
    """
    from babel.dates import format_date

    random = np.random.default_rng(0)
    days = random.integers(0, 100 * 365, 8_000)
    first = datetime.date(1950, 1, 1)
    chosen = [first + datetime.timedelta(int(day)) for day in days]
    texts = [
        format_date(day, "long", locale=WRITTEN[language]).lower()
        for day, language in zip(
            chosen, random.integers(0, len(WRITTEN), len(chosen)), strict=True
        )
    ]
    y = np.array([[int(c) for c in day.strftime("%Y%m%d")] for day in chosen], "int32")
    before = np.pad(y[:, :-1] + 1, ((0, 0), (1, 0)))
    written = _coded(texts, DATE, SYMBOLS)
    others = random.integers(0, SYMBOLS, written.shape, "int32")
    smudged = np.where(random.random(written.shape) < SMUDGED, others, written)
    x = np.concatenate([smudged, before], axis=1)
    return Data.split(x, y, held_back=1_000)
