"""What replicas sum is read from the graph of a step, whatever else branches there."""

import keras
import pytest

from benchmarks import replica_cost
from keras_fuzzyhess import SALO, FuzzyHess


@pytest.mark.slow
def test_every_kind_of_step_sums_what_the_readme_says(two_replicas):
    """The loss of every step travels with its gradient."""

    def sizes(make_optimizer):
        graph, weights = replica_cost.trace(make_optimizer, two_replicas)
        kinds = replica_cost.kinds_of_step(graph)
        assert sum(share for _, share in kinds.values()) == pytest.approx(1)
        return {kind: sums for kind, (sums, _) in kinds.items()}, weights

    found, n = sizes(keras.optimizers.Adam)
    assert found == {"every step": [n]}
    found, _ = sizes(SALO)
    assert found == {"every step": [n + 1, n]}
    found, _ = sizes(FuzzyHess)
    without_curvature = {
        "plain step": [n + 1],
        "length probe, once": [n + 1, 1],
        "loss probe": [n + 1, 1],
    }
    assert found == without_curvature
    found, _ = sizes(lambda: FuzzyHess(direction="orthogonal"))
    assert found == without_curvature | {"curvature probe": [n + 1, n]}
