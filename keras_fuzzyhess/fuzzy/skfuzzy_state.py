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

    Example:

    >>> from keras_fuzzyhess.fuzzy import default_rule_base, to_control_system
    >>> from skfuzzy.control import ControlSystemSimulation
    >>> system = to_control_system(default_rule_base())
    >>> with preserved_state(system):
    ...     ControlSystemSimulation(system).input["progress"] = 0.5
    >>> ControlSystemSimulation(system).input
    loss_trend : None
    progress : None
    <BLANKLINE>
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
    from skfuzzy.control.antecedent_consequent import Antecedent, Consequent
    from skfuzzy.control.rule import Rule
    from skfuzzy.control.term import Term, WeightedTerm

    stores = (
        (Antecedent, "input"),
        (Consequent, "output"),
        (Term, "membership_value"),
        (Term, "cuts"),
        (Rule, "aggregate_firing"),
        (WeightedTerm, "activation"),
    )
    nodes = list(system.graph.nodes())
    weighted = [c for node in nodes if isinstance(node, Rule) for c in node.consequent]
    for part in nodes + weighted:
        for owner, name in stores:
            if isinstance(part, owner):
                yield vars(owner)[name].data, part
