"""What is saved of an optimizer's state, and what is checked before it is taken back.

Keras's optimizers skip a state that does not fit with no more than a warning, and go on
without it; a bit that has flipped on the way they do not see. Here each state carries
the name of its optimizer, the version of its layout and a checksum, and one that cannot
be continued from is refused before any variable is assigned. A file without a state, or
with that of another optimizer, holds nothing to continue from: the optimizer starts
anew, with a warning.

Variables are saved by name, `direction.Diagonal.momentum` for example, for two of equal
shape may be of different kinds.
"""

import zlib
from collections.abc import Iterable, Mapping, MutableMapping, Sequence

import keras
import numpy as np

LAYOUT_VERSION = 16
"""Version of which variables there are and what they mean. Raised when that changes."""

VERSION_KEY, CHECKSUM_KEY, OPTIMIZER_KEY = "layout_version", "checksum", "optimizer"
KEYS = (VERSION_KEY, CHECKSUM_KEY, OPTIMIZER_KEY)

LISTED = 8
"""So many names an error lists at most. Our choice."""

REMEDY = (
    "To go on without the state, load the weights alone, by "
    "`keras.saving.load_model(path, compile=False)`, or from a '.weights.h5' by "
    "`model.load_weights(path)` before `model.compile`, and compile with a new "
    "optimizer."
)


def numbered(names: Iterable[str]) -> list[str]:
    """Names of which there is each once: those that come again get a number.

    Args:
        names: Strings, of variables in the order in which they were made.

    Returns:
        List of strings, none of them one under which something else is saved.

    Example:

    >>> numbered(["iteration", "average", "average"])
    ['iteration', 'average', 'average.1']
    """
    taken = dict.fromkeys(KEYS)
    for name in names:
        unique, number = name, 0
        while unique in taken:
            number += 1
            unique = f"{name}.{number}"
        taken[unique] = None
    return list(taken)[len(KEYS) :]


def write_state(
    store: MutableMapping[str, np.ndarray],
    values: Mapping[str, np.ndarray],
    optimizer: str,
) -> None:
    """Writes the values of an optimizer's variables, and what tells them apart.

    Args:
        store: What Keras gives to `save_own_variables`; a dict will do.
        values: Mapping from names, which `numbered` has made, to arrays.
        optimizer: String, the name of its class.

    Example:

    >>> store = {}
    >>> write_state(store, {"momentum": np.float32([1.0, 2.0])}, "FuzzyHess")
    >>> sorted(store)
    ['checksum', 'layout_version', 'momentum', 'optimizer']
    >>> read_state(store, "FuzzyHess"), read_state(store, "SALO")
    ({'momentum': array([1., 2.], dtype=float32)}, None)
    """
    # As numbers, for not every kind of file that Keras writes takes strings.
    written_by = np.frombuffer(optimizer.encode(), np.uint8)
    for name, value in values.items():
        store[name] = value
    store[VERSION_KEY] = np.array(LAYOUT_VERSION)
    store[OPTIMIZER_KEY] = written_by
    store[CHECKSUM_KEY] = np.array(_checksum_of(values, written_by), np.uint32)


def read_state(
    store: Mapping[str, np.ndarray], optimizer: str
) -> dict[str, np.ndarray] | None:
    """The values that `write_state` wrote.

    Args:
        store: What Keras gives to `load_own_variables`.
        optimizer: String, the name of the optimizer's class.

    Returns:
        Dict of arrays, empty if the state is from before an optimizer's first step;
        None if there is no state, or that of an optimizer of another class.

    Raises:
        ValueError: if the state has another version of the layout, is not what was
            written, or has values that are not finite, from which no training
            recovers: all of them are in moving averages.

    Example:

    >>> store = {}
    >>> write_state(store, {"momentum": np.float32([1.0, 2.0])}, "FuzzyHess")
    >>> store["momentum"] = np.float32([1.0, 3.0])
    >>> read_state(store, "FuzzyHess")
    Traceback (most recent call last):
        ...
    ValueError: The saved state of an optimizer must be what was written...
    """
    keys = set(store.keys())
    if not keys & set(KEYS):
        return None
    lacking = [key for key in KEYS if key not in keys]
    if VERSION_KEY not in lacking:
        _check_version(np.asarray(store[VERSION_KEY]).tolist())
    if lacking:
        raise ValueError(
            "The saved state of an optimizer must be what was written. Received: one "
            f"without {', '.join(lacking)}; the file is damaged. {REMEDY}"
        )
    values = {name: np.asarray(store[name]) for name in keys - set(KEYS)}
    written_by = np.asarray(store[OPTIMIZER_KEY])
    written = np.asarray(store[CHECKSUM_KEY]).tolist()
    if written != _checksum_of(values, written_by):
        raise ValueError(
            "The saved state of an optimizer must be what was written. Received: one "
            "whose checksum differs; the file is damaged, and the weights in it may be "
            f"too. Take an earlier copy. {REMEDY}"
        )
    if values and written_by.tobytes() != optimizer.encode():
        return None
    for name, value in values.items():
        if not np.isfinite(value).all():
            raise ValueError(
                "The saved state of an optimizer must be finite, for no training "
                f"recovers from one that is not. Received: `{name}` with "
                f"{np.count_nonzero(~np.isfinite(value))} values NaN or infinite. "
                f"{REMEDY}"
            )
    return values


def _check_version(version: object) -> None:
    if version != LAYOUT_VERSION:
        raise ValueError(
            f"The saved state of an optimizer must have layout version "
            f"{LAYOUT_VERSION}, the only one that this release of keras_fuzzyhess "
            f"reads. Received: {VERSION_KEY}={version!r}. Load it with the release "
            f"that wrote it. {REMEDY}"
        )


def _parts_of_direction(names: Iterable[str]) -> set[str]:
    """Of `direction.Orthogonal.Diagonal.momentum.1` both classes."""
    paths = [name.split(".")[1:] for name in names if name.startswith("direction.")]
    return {
        part for path in paths for part in [p for p in path if not p.isdigit()][:-1]
    }


def _directions_differ(saved: Iterable[str], own: Iterable[str]) -> str:
    """What the names of variables tell of two directions, if these differ."""
    of_saved, of_own = map(_parts_of_direction, (saved, own))
    if of_saved == of_own:
        return ""
    return (
        "It may have been saved with another `direction`, or for weights of other "
        f"sides: it has {_listed(of_saved)} where this one has {_listed(of_own)}. "
    )


def check_state_fits(
    values: Mapping[str, np.ndarray], variables: Mapping[str, keras.Variable]
) -> None:
    """Raises a `ValueError` unless there is a value for each variable, of its kind.

    Args:
        values: Mapping from names to arrays.
        variables: Mapping from names to the optimizer's variables.

    Example:

    >>> variables = {"momentum": keras.Variable([0.0, 0.0])}
    >>> check_state_fits({"momentum": np.float32([1.0, 2.0])}, variables)
    >>> check_state_fits({"momentum": np.float32([1.0])}, variables)
    Traceback (most recent call last):
        ...
    ValueError: The saved state of an optimizer must fit... `momentum` of shape (2,)...
    """
    what = (
        "The saved state of an optimizer must fit its arguments and the weights that "
        "it trains"
    )
    remedy = f"Make it with the arguments with which it was saved. {REMEDY}"
    if values.keys() != variables.keys():
        raise ValueError(
            f"{what}, which take {len(variables)} variables. Received: {len(values)}. "
            f"Expected and not received: {_listed(variables.keys() - values.keys())}. "
            "Received and not expected: "
            f"{_listed(values.keys() - variables.keys())}. "
            f"{_directions_differ(values, variables)}{remedy}"
        )
    for name, variable in variables.items():
        value = values[name]
        shape, dtype = tuple(variable.shape), np.dtype(variable.dtype)
        if value.shape != shape or value.dtype != dtype:
            raise ValueError(
                f"{what}, which take `{name}` of shape {shape} and dtype {dtype}. "
                f"Received: shape {value.shape} and dtype {value.dtype}. {remedy}"
            )


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    listed = ", ".join(f"`{name}`" for name in ordered[:LISTED])
    if len(ordered) > LISTED:
        listed += f" and {len(ordered) - LISTED} more"
    return listed or "none"


def _checksum_of(values: Mapping[str, np.ndarray], written_by: np.ndarray) -> int:
    names = sorted(values)  # files keep no order
    arrays = [values[name] for name in names]
    return checksum([*arrays, np.array(" ".join(names).encode()), written_by])


def checksum(values: Sequence[np.ndarray]) -> int:
    """CRC-32 of the bytes of all arrays.

    Example:

    >>> checksum([np.float32([1.0])]) == checksum([np.float32([-1.0])])
    False
    """
    crc = 0
    for value in values:
        # No copy where it can be had without, for a state may fill half of the memory.
        # As bytes, for Python knows no bfloat16.
        data = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
        crc = zlib.crc32(data.data, crc)
    return crc
