"""What is saved of an optimizer's state, and what is checked before it is taken back.

Keras's optimizers skip a state that does not fit with no more than a warning, and go on
without it; a bit that has flipped on the way they do not see. Here each state carries
the name of its optimizer, the version of its layout and a checksum, and one that cannot
be continued from is refused before any variable is assigned. A file without a state, or
with that of another optimizer, holds nothing to continue from: the optimizer starts
anew, with a warning.
"""

import zlib
from collections.abc import Mapping, MutableMapping, Sequence

import keras
import numpy as np

LAYOUT_VERSION = 7
"""Version of which variables there are and in which order. Raised when that changes."""

VERSION_KEY, CHECKSUM_KEY, OPTIMIZER_KEY = "layout_version", "checksum", "optimizer"

REMEDY = (
    "To go on without the state, load the weights alone, by "
    "`keras.saving.load_model(path, compile=False)`, or from a '.weights.h5' by "
    "`model.load_weights(path)` before `model.compile`, and compile with a new "
    "optimizer."
)


def write_state(
    store: MutableMapping[str, np.ndarray], values: Sequence[np.ndarray], optimizer: str
) -> None:
    """Writes the values of an optimizer's variables, and what tells them apart.

    Args:
        store: What Keras gives to `save_own_variables`; a dict will do.
        values: List of arrays, in the order of the variables.
        optimizer: String, the name of its class.

    Example:

    >>> store = {}
    >>> write_state(store, [np.float32([1.0, 2.0])], "FuzzyHess")
    >>> sorted(store)
    ['0', 'checksum', 'layout_version', 'optimizer']
    >>> read_state(store, "FuzzyHess"), read_state(store, "SALO")
    ([array([1., 2.], dtype=float32)], None)
    """
    # As numbers, for not every kind of file that Keras writes takes strings.
    name = np.frombuffer(optimizer.encode(), np.uint8)
    for i, value in enumerate(values):
        store[str(i)] = value
    store[VERSION_KEY] = np.array(LAYOUT_VERSION)
    store[OPTIMIZER_KEY] = name
    store[CHECKSUM_KEY] = np.array(checksum([*values, name]), np.uint32)


def read_state(
    store: Mapping[str, np.ndarray], optimizer: str
) -> list[np.ndarray] | None:
    """The values that `write_state` wrote.

    Args:
        store: What Keras gives to `load_own_variables`.
        optimizer: String, the name of the optimizer's class.

    Returns:
        List of arrays, empty if the state is from before an optimizer's first step;
        None if there is no state, or that of an optimizer of another class.

    Raises:
        ValueError: if the state has another version of the layout, is not what was
            written, or has values that are not finite, from which no training
            recovers: all of them are in moving averages.

    Example:

    >>> store = {}
    >>> write_state(store, [np.float32([1.0, 2.0])], "FuzzyHess")
    >>> store["0"] = np.float32([1.0, 3.0])
    >>> read_state(store, "FuzzyHess")
    Traceback (most recent call last):
        ...
    ValueError: The saved state of an optimizer must be what was written...
    """
    keys = set(store.keys())
    if not keys & {VERSION_KEY, CHECKSUM_KEY, OPTIMIZER_KEY}:
        return None
    if VERSION_KEY not in keys:
        raise ValueError(
            "The saved state of an optimizer must be what was written. Received: one "
            f"without {VERSION_KEY}; the file is damaged. {REMEDY}"
        )
    version = np.asarray(store[VERSION_KEY]).tolist()
    if version != LAYOUT_VERSION:
        raise ValueError(
            f"The saved state of an optimizer must have layout version "
            f"{LAYOUT_VERSION}, the only one that this release of keras_fuzzyhess "
            f"reads. Received: {VERSION_KEY}={version!r}. Load it with the release "
            f"that wrote it. {REMEDY}"
        )
    names = [str(i) for i in range(len(keys) - 3)]
    if keys != {*names, VERSION_KEY, CHECKSUM_KEY, OPTIMIZER_KEY}:
        raise ValueError(
            "The saved state of an optimizer must be what was written. Received: "
            f"variables named {', '.join(sorted(keys))}; the file is damaged. {REMEDY}"
        )
    values = [np.asarray(store[name]) for name in names]
    written_by = np.asarray(store[OPTIMIZER_KEY])
    if np.asarray(store[CHECKSUM_KEY]).tolist() != checksum([*values, written_by]):
        raise ValueError(
            "The saved state of an optimizer must be what was written. Received: one "
            "whose checksum differs; the file is damaged, and the weights in it may be "
            f"too. Take an earlier copy. {REMEDY}"
        )
    if values and written_by.tobytes() != optimizer.encode():
        return None
    for name, value in zip(names, values, strict=True):
        if not np.isfinite(value).all():
            raise ValueError(
                "The saved state of an optimizer must be finite, for no training "
                f"recovers from one that is not. Received: variable {name} with "
                f"{np.count_nonzero(~np.isfinite(value))} values NaN or infinite. "
                f"{REMEDY}"
            )
    return values


def check_state_fits(
    values: Sequence[np.ndarray], variables: Sequence[keras.Variable]
) -> None:
    """Raises a `ValueError` unless there is a value for each variable, of its kind.

    Args:
        values: List of arrays.
        variables: List of the optimizer's variables.

    Example:

    >>> momentum = keras.Variable([0.0, 0.0], name="momentum")
    >>> check_state_fits([np.float32([1.0, 2.0])], [momentum])
    >>> check_state_fits([np.float32([1.0])], [momentum])
    Traceback (most recent call last):
        ...
    ValueError: The saved state of an optimizer must fit... `momentum` of shape (2,)...
    """
    what = (
        "The saved state of an optimizer must fit its arguments and the weights that "
        "it trains"
    )
    if len(values) != len(variables):
        raise ValueError(
            f"{what}, which take {len(variables)} variables. Received: {len(values)}. "
            f"{REMEDY}"
        )
    for value, variable in zip(values, variables, strict=True):
        shape, dtype = tuple(variable.shape), np.dtype(variable.dtype)
        if value.shape != shape or value.dtype != dtype:
            raise ValueError(
                f"{what}, which take `{variable.name}` of shape {shape} and dtype "
                f"{dtype}. Received: shape {value.shape} and dtype {value.dtype}. "
                f"{REMEDY}"
            )


def checksum(values: Sequence[np.ndarray]) -> int:
    """CRC-32 of the bytes of all arrays.

    Example:

    >>> checksum([np.float32([1.0])]) == checksum([np.float32([-1.0])])
    False
    """
    crc = 0
    for value in values:
        # No copy where it can be had without, for a state may fill half of the memory.
        crc = zlib.crc32(np.ascontiguousarray(value).data, crc)
    return crc
