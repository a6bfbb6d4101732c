"""Simulating a control system of scikit-fuzzy 0.5.0 without leaving a trace.

scikit-fuzzy keeps the state of simulations in dictionaries of its classes, with the
antecedents, consequents, terms and rules as keys. So none of these is ever released,
and all simulations of one system share their inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skfuzzy.control import ControlSystem


@contextmanager
def preserved_state(system: ControlSystem) -> Iterator[None]:
    """On leaving, puts the state of all parts of `system` back as it was.

    State that holds nothing but defaults is dropped, with which the parts can be
    released: scikit-fuzzy makes it anew when it is asked for.
    """
    before = []
    for store, part in _places(system):
        state = store.get(part)
        before.append((store, part, state, state and dict(state._sim_data)))
    try:
        yield
    finally:
        for store, part, state, kept in before:
            if state is None or kept == {"current": state.default}:
                store.pop(part, None)
            else:
                state._sim_data = kept
                store[part] = state


def _places(system: ControlSystem) -> Iterator[tuple[dict[Any, Any], Any]]:
    """Each dictionary of a class with each part of `system` that may be its key."""
    from skfuzzy.control.rule import Rule
    from skfuzzy.control.state import StatefulProperty

    nodes = list(system.graph.nodes())
    weighted = [c for node in nodes if isinstance(node, Rule) for c in node.consequent]
    for part in nodes + weighted:
        for owner in type(part).mro():
            for attribute in vars(owner).values():
                if isinstance(attribute, StatefulProperty):
                    yield attribute.data, part
