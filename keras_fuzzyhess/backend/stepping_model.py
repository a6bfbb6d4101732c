"""The model whose step is traced: nothing tells it but Python's stack."""

import sys
from types import FrameType

import keras


def stepping_model(without: str | None = None) -> keras.Model | None:
    """The model whose `train_step` is being called in this thread, if any.

    Args:
        without: Name of a function; where one of that name is being called as well,
            there is no such model. Defaults to `None`.

    Example:

    >>> class Told(keras.Model):
    ...     def train_step(self, data):
    ...         return stepping_model() is self
    >>> Told().train_step(None), stepping_model()
    (True, None)
    """
    frame: FrameType | None = sys._getframe(1)
    found = None
    while frame is not None:
        name = frame.f_code.co_name
        if name == without:
            return None
        # The second is what AutoGraph makes of one that is decorated.
        if found is None and name in ("train_step", "tf__train_step"):
            first = frame.f_code.co_varnames[:1]
            owner = frame.f_locals.get(*first) if first else None
            if not isinstance(owner, keras.Model):
                return None
            found = owner
        frame = frame.f_back
    return found
