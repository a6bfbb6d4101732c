"""What can happen to a file: bits flip, it is cut, a block is lost or repeated."""

from hypothesis import strategies as st


@st.composite
def damaged(draw, content):
    """The bytes of a file with up to four kinds of damage, maybe none."""
    data = bytearray(content)
    place = st.integers(0, len(content) - 1)
    for kind in draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=4)):
        kind(data, draw(place), draw(st.integers(0, 255)))
    return bytes(data)


def _flip_bit(data, place, number):
    if place < len(data):
        data[place] ^= 1 << number % 8


def _set_byte(data, place, number):
    if place < len(data):
        data[place] = number


def _cut(data, place, number):
    del data[place:]


def _lose(data, place, number):
    del data[place : place + number]


def _repeat(data, place, number):
    data[place:place] = data[place : place + number]


def _blank(data, place, number):
    end = min(place + number, len(data))
    data[place:end] = bytes(max(end - place, 0))


# A flipped bit is what is hardest to see.
KINDS = [_flip_bit] * 5 + [_set_byte, _cut, _lose, _repeat, _blank]
