"""Several workloads at once."""

import keras
import keras_tuner
import numpy as np
import pytest

from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.fuzzy import default_rule_base, paper_rule_base
from keras_fuzzyhess.tuner import (
    RandomSearch,
    Workload,
    WorkloadsHyperModel,
    best_rule_base,
    rule_base,
)
from keras_fuzzyhess.tuner.workloads import StopHopeless, train
from tests.tuner.searches import LOSS, data, descent, network

X, Y = data()[0]


def workload(name="digits", **kwargs):
    arguments = {"x": X, "y": Y, "batch_size": 64, "epochs": 2} | kwargs
    return Workload(name, network, LOSS, **arguments)


@pytest.mark.slow
def test_score_is_the_geometric_mean_of_relative_losses():
    workloads = [workload(), workload("half", x=X[:256], y=Y[:256], epochs=3)]
    varied = rule_base(keras_tuner.HyperParameters(), paper_rule_base())
    made = WorkloadsHyperModel(
        workloads, optimizer_fn=descent, seeds=(0, 3), hopeless=50.0
    )
    ratios = []
    for each in workloads:
        for seed in (0, 3):
            losses = [
                train(each, descent(rules), seed).loss
                for rules in (varied, default_rule_base())
            ]
            ratios.append(losses[0] / losses[1])
    assert made.score(default_rule_base()) == 1.0
    score = made.score(varied)
    np.testing.assert_allclose(score, np.prod(ratios) ** 0.25, rtol=1e-6)
    assert score != 1.0


class Ascent(keras.optimizers.SGD):
    """Trains with the base; goes uphill with any other rule base."""

    made = 0

    def __init__(self, rule_base):
        Ascent.made += 1
        super().__init__(0.01 if rule_base == default_rule_base() else -10.0)


def test_hopeless_trials_end_early():
    workloads = [workload(epochs=5), workload("second")]
    made = WorkloadsHyperModel(workloads, optimizer_fn=Ascent, hopeless=2.0)
    Ascent.made = 0
    assert made.score(paper_rule_base()) == pytest.approx(2.0)
    assert Ascent.made == 2  # the reference and the first; the second was spared


def test_a_hopeless_training_stops_at_the_epoch():
    stop = StopHopeless([1e9, 1e-9, 1e9], limit=2.0)
    run = train(workload(epochs=3), FuzzyHess(), 0, stop)
    assert run.loss == float("inf") and len(run.epoch_losses) == 2


@pytest.mark.slow
def test_any_tuner_searches_it(tmp_path):
    tuner = RandomSearch(
        WorkloadsHyperModel([workload(epochs=1)], search="outputs"),
        max_trials=3,
        seed=0,
        directory=tmp_path,
    )
    tuner.search(verbose=0)
    scores = {n: t.score for n, t in tuner.oracle.trials.items()}
    assert scores["0"] == 1.0 and len(set(scores.values())) == 3
    assert best_rule_base(tuner).inputs == default_rule_base().inputs


def test_errors():
    with pytest.raises(ValueError, match="`workloads` must be one or more, named diff"):
        WorkloadsHyperModel([workload(), workload()])
    with pytest.raises(ValueError, match="`hopeless` must be a finite number above 1"):
        WorkloadsHyperModel([workload()], hopeless=1.0)
    with pytest.raises(ValueError, match="`seeds` must be one or more"):
        WorkloadsHyperModel([workload()], seeds=())
    with pytest.raises(TypeError, match="`optimizer_fn` must be a function"):
        WorkloadsHyperModel([workload()], optimizer_fn="adam")
    for epochs in (0, 2.5):
        with pytest.raises(
            ValueError, match="`epochs` of workload 'digits' must be an"
        ):
            workload(epochs=epochs)
    made = WorkloadsHyperModel([workload()])
    hp = keras_tuner.HyperParameters()
    with pytest.raises(TypeError, match=r"no data.*Received: ndarray, epochs"):
        made.fit(hp, made.build(hp), X, epochs=3, callbacks=[])
    negative = Workload("less", network, lambda y, p: -p[:, 0], X, Y, 64, 1)
    made = WorkloadsHyperModel([negative])
    with pytest.raises(ValueError, match="'less' must be positive and finite"):
        made.score(default_rule_base())


def test_what_is_held_back_is_scored_where_there_is_some():
    """The training is the same; what its loss is measured on is not."""
    optimizer = FuzzyHess(seed=0)
    plain = train(Workload("plain", network, LOSS, X, Y, 64, 2), optimizer, 0)
    held_back = X[:50] + 1, Y[:50]
    optimizer = FuzzyHess(seed=0)
    validated = train(
        Workload("validated", network, LOSS, X, Y, 64, 2, held_back), optimizer, 0
    )
    optimizer = FuzzyHess(seed=0)
    same = train(Workload("same", network, LOSS, X, Y, 64, 2, (X, Y)), optimizer, 0)
    assert validated.epoch_losses == plain.epoch_losses == same.epoch_losses
    assert validated.loss != plain.loss == same.loss


@pytest.mark.parametrize("data, received", [([X, Y], "a list"), ((X,), "a tuple of 1")])
def test_what_is_held_back_must_be_a_pair(data, received):
    with pytest.raises(ValueError, match=f"`validation_data`.*Received: {received}"):
        Workload("w", network, LOSS, X, Y, 64, 1, data)
