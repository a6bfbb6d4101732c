"""Checks of constructor arguments, with errors in the style of Keras.

Bounds keep what a step computes within float32; none of them is near a value that makes
sense.
"""

import contextlib
import contextvars
import difflib
import inspect
import math
import numbers
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

LARGEST_INTEGER = 2**31 - 1

USUAL_RATE = 0.01
"""A smaller `learning_rate` is taken for one of another optimizer. Our choice."""

_is_restored = contextvars.ContextVar("is_restored", default=False)


def check_argument(name: str, value: Any, rule: str, holds: bool) -> None:
    """Raises a `ValueError` that states the rule, unless it holds.

    Example:

    >>> check_argument("beta_1", 1.5, "in [0, 1)", 0 <= 1.5 < 1)
    Traceback (most recent call last):
        ...
    ValueError: `beta_1` must be in [0, 1). Received: beta_1=1.5
    """
    if not holds:
        raise ValueError(f"`{name}` must be {rule}. Received: {name}={value!r}")


def is_number(value: Any) -> bool:
    """Whether the value is a real number, of Python or NumPy (a bool is none).

    Example:

    >>> is_number(0.5), is_number(True), is_number("0.5")
    (True, False, False)
    """
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def check_momentum(name: str, value: Any) -> float:
    """The value, if it is a number in [0, 0.999999].

    Raises:
        ValueError: if it is not.

    Example:

    >>> check_momentum("beta_1", 0.9)
    0.9
    """
    holds = is_number(value) and 0 <= value <= 0.999999
    check_argument(name, value, "in [0, 1), and at most 0.999999", holds)
    return float(value)


def check_between(
    name: str, value: Any, low: float, high: float, otherwise: str = ""
) -> float:
    """The value, if it is a number in [low, high].

    Raises:
        ValueError: if it is not.

    Example:

    >>> check_between("clipnorm", 1, 1e-12, 1e12, " or None")
    1.0
    >>> check_between("clipnorm", -1.0, 1e-12, 1e12, " or None")
    Traceback (most recent call last):
        ...
    ValueError: `clipnorm` must be in [1e-12, 1e+12] or None. Received: clipnorm=-1.0
    """
    holds = is_number(value) and low <= value <= high
    check_argument(name, value, f"in [{low:g}, {high:g}]{otherwise}", holds)
    return float(value)


def check_integer(name: str, value: Any, least: int, otherwise: str = "") -> int:
    """The value, if it is an integer in [least, 2**31 - 1].

    Raises:
        ValueError: if it is not.

    Example:

    >>> check_integer("total_steps", 100, 1, " or None")
    100
    >>> check_integer("total_steps", 0, 1, " or None")
    Traceback (most recent call last):
        ...
    ValueError: `total_steps` must be an integer of at least 1 or None. Received: ...
    """
    is_integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    holds = is_integer and value >= least
    check_argument(name, value, f"an integer of at least {least}{otherwise}", holds)
    check_argument(name, value, "at most 2147483647", value <= LARGEST_INTEGER)
    return int(value)


def warn_of_small_rate(optimizer: str, learning_rate: Any) -> None:
    """Warns of a rate that must be meant for another optimizer, like Adam's 0.001.

    Of numbers alone, and not while a configuration is restored: a rate in one may have
    been lowered in training.

    Example:

    >>> warn_of_small_rate("FuzzyHess", 0.5)
    >>> with restored():
    ...     warn_of_small_rate("FuzzyHess", 0.001)
    """
    is_small = is_number(learning_rate) and 0 < learning_rate < USUAL_RATE
    if is_small and not _is_restored.get():
        warnings.warn(
            f"`learning_rate` of {optimizer} should be at least {USUAL_RATE}: it is a "
            "factor of the step length that the optimizer finds itself, 1.0 by "
            f"default, and no rate like Adam's. Received: learning_rate="
            f"{learning_rate!r}, with which it hardly trains. Use `{optimizer}()`. If "
            "such short steps are wanted, assign `optimizer.learning_rate` afterwards, "
            "or give a schedule.",
            stacklevel=3,
        )


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """Inside, arguments are those of an optimizer that there was before."""
    token = _is_restored.set(True)
    try:
        yield
    finally:
        _is_restored.reset(token)


def check_elements(optimizer: str, variables: Sequence[Any]) -> None:
    """Raises a `ValueError` if there are weights, but none of them has an element.

    Example:

    >>> import keras
    >>> check_elements("FuzzyHess", [keras.Variable([1.0]), keras.ops.zeros((0, 3))])
    """
    if variables and not any(math.prod(v.shape) for v in variables):
        raise ValueError(
            f"{optimizer} must train weights with at least one element, for it takes "
            f"means over all of them. Received: `{variables[0].name}` of shape "
            f"{tuple(variables[0].shape)}, and no weight that is not empty."
        )


def check_precision(optimizer: str, variables: Sequence[Any]) -> None:
    """Raises a `ValueError` if a weight is stored in less than 32 bits.

    Example:

    >>> import keras
    >>> check_precision("FuzzyHess", [keras.Variable([1.0], dtype="float64")])
    """
    for variable in variables:
        if tf.as_dtype(variable.dtype) not in (tf.float32, tf.float64):
            raise ValueError(
                f"{optimizer} must train weights of dtype float32 or "
                "float64, for smaller ones lose the shift of a probe to "
                f"rounding. Received: `{variable.name}` of dtype "
                f"{variable.dtype}. For speed use the policy 'mixed_bfloat16', "
                "which computes in 16 bits and keeps the weights in 32."
            )


def checked_keras_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments of `keras.optimizers.Optimizer`, checked; numbers become plain floats.

    Keras checks few of them: others fail in the first step, by an error that does not
    name them, or train on with NaN.

    Args:
        arguments: Dict of some of them by name.

    Returns:
        A dict.

    Raises:
        ValueError: if one is out of its range.

    Example:

    >>> checked_keras_arguments({"clipnorm": 1, "name": "mine"})
    {'clipnorm': 1.0, 'name': 'mine'}
    >>> checked_keras_arguments({"clipnorm": -1})
    Traceback (most recent call last):
        ...
    ValueError: `clipnorm` must be in [1e-12, 1e+12] or None. Received: clipnorm=-1
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    checked = dict(arguments)
    for name in _LOWEST.keys() & given.keys():
        checked[name] = check_between(
            name, given[name], _LOWEST[name], 1e12, " or None"
        )
    for name in _LEAST.keys() & given.keys():
        checked[name] = check_integer(name, given[name], _LEAST[name], " or None")
    if "learning_rate" in given and not callable(given["learning_rate"]):
        checked["learning_rate"] = check_between(
            "learning_rate", given["learning_rate"], 0, 1e6
        )
    if "ema_momentum" in arguments:
        checked["ema_momentum"] = check_momentum(
            "ema_momentum", arguments["ema_momentum"]
        )
    for name, kind in (("use_ema", bool), ("name", str)):
        if name in given:
            is_kind = isinstance(given[name], kind)
            check_argument(name, given[name], f"a {kind.__name__}", is_kind)
    return checked


def refuse_unknown(optimizer: type, arguments: dict[str, Any]) -> None:
    """Refuses arguments that there are not, and names those that may be meant.

    Keras names none, and takes `decay` without a use for it.

    Args:
        optimizer: The class, each of whose constructors gives the next what it does
            not know.
        arguments: Dict of what was given by name.

    Raises:
        ValueError: if none of them has one of these.

    Example:

    >>> import keras
    >>> refuse_unknown(keras.optimizers.Adam, {"lr": 0.1})
    Traceback (most recent call last):
        ...
    ValueError: `Adam` must be given arguments that it has. ... Use `learning_rate`.
    """
    known = _argument_names(optimizer)
    for name, value in arguments.items():
        if name not in known:
            meant = [n for n in _MEANT.get(name, ()) if n in known]
            meant = meant or difflib.get_close_matches(name, known, n=1)
            remedy = "Use " + " and ".join(f"`{n}`" for n in meant)
            if name == "decay":
                remedy += ", or a schedule as `learning_rate`"
            if not meant:
                remedy = f"It has {', '.join(known)}"
            raise ValueError(
                f"`{optimizer.__name__}` must be given arguments that it has. "
                f"Received: {name}={value!r}. {_NOT_NEEDED.get(name, '')}{remedy}."
            )


def _argument_names(optimizer: type) -> list[str]:
    parameters = [
        parameter
        for base in optimizer.__mro__
        if base is not object and "__init__" in vars(base)
        for parameter in inspect.signature(vars(base)["__init__"]).parameters.values()
    ]
    names = (p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
    return [name for name in dict.fromkeys(names) if name != "self"]


_MEANT = {
    "lr": ["learning_rate"],
    "eta": ["learning_rate"],
    "decay": ["weight_decay"],
    "wd": ["weight_decay"],
    "l2": ["weight_decay"],
    "betas": ["beta_1", "beta_2"],
    "beta": ["beta_1"],
    "momentum": ["beta_1"],
    "rho": ["beta_2"],
    "eps": ["epsilon"],
    "ema": ["use_ema"],
    "accumulation_steps": ["gradient_accumulation_steps"],
    "clip": ["clipnorm", "clipvalue"],
    "max_grad_norm": ["global_clipnorm"],
    "loss_scale": ["loss_scale_factor"],
}
"""What arguments of other optimizers, here and elsewhere, are called here."""

_NOT_NEEDED = dict.fromkeys(
    ("epsilon", "eps"), "It needs none, and `FuzzyHess.salo` has one. "
)
"""Why there is no such argument."""

_LOWEST = {
    "weight_decay": 0.0,
    "clipnorm": 1e-12,
    "clipvalue": 1e-12,
    "global_clipnorm": 1e-12,
    "loss_scale_factor": 1e-12,
}
"""Numbers, or None, of at least so much."""

_LEAST = {"ema_overwrite_frequency": 1, "gradient_accumulation_steps": 2}
"""Integers, or None, of at least so much."""
