"""Trainings of the benchmark: counted, repeatable, resumed."""

import sys

import keras
import numpy as np
import pytest

from benchmarks import __main__ as benchmarks_main
from benchmarks import protocol
from benchmarks.contestants import BASELINES, OURS, SCHEDULES, Contestant
from benchmarks.hessian_peers import AdaHessian, Sophia
from benchmarks.results import Results
from benchmarks.training import EVALUATIONS, Training, scheduled
from benchmarks.workloads import WORKLOADS
from keras_fuzzyhess import SALO, FuzzyHess

QUADRATIC = WORKLOADS["quadratic"]


@pytest.mark.parametrize(
    "make, probes",
    [(keras.optimizers.Adam, 0), (FuzzyHess, 11), (SALO, 60), (AdaHessian, 60)],
)
def test_every_gradient_is_counted(make, probes):
    """SALO and AdaHessian take two a step, FuzzyHess a tenth more than one."""
    training = Training(QUADRATIC, make)
    curve = training.run(0.01, "constant", 0, 120)["curve"]
    steps = int(training.optimizer.iterations.numpy())
    assert len(curve["loss"]) == len(curve["gradients"]) == EVALUATIONS
    assert abs(curve["gradients"][-1] - 120) <= 3
    assert curve["gradients"][-1] - steps == pytest.approx(probes, abs=3)


@pytest.mark.slow
def test_a_run_repeats_whatever_was_run_before():
    training = Training(WORKLOADS["mnist_1d"], FuzzyHess)
    first = training.run(1.0, "constant", 3, 60)["curve"]
    training.run(4.0, "cosine", 4, 60)
    assert training.run(1.0, "constant", 3, 60)["curve"] == first


@pytest.mark.slow
def test_the_averaged_weights_are_what_fit_would_leave():
    """The runner's averages, kept for every optimizer, are FuzzyHess's own."""
    training = Training(QUADRATIC, FuzzyHess)
    training.run(1.0, "constant", 0, 100)
    own = training.optimizer._model_variables_moving_average
    for average, expected in zip(own, training._averages, strict=True):
        np.testing.assert_allclose(average.numpy(), expected.numpy(), rtol=1e-5)


def test_a_warm_up_begins_with_short_steps_and_is_the_cosine_later():
    before = np.arange(200) / 200
    constant, cosine, warm = (
        scheduled(schedule, before, before + 1 / 200) for schedule in SCHEDULES
    )
    np.testing.assert_array_equal(constant, 1.0)
    assert cosine[0] == 1.0 and 0 < cosine[-1] < 1e-3
    ramp = (np.arange(10) + 1) / 10
    np.testing.assert_allclose(warm[:10], cosine[:10] * ramp, rtol=1e-12)
    np.testing.assert_array_equal(warm[10:], cosine[10:])


def test_a_diverged_run_ends_early():
    training = Training(QUADRATIC, lambda: keras.optimizers.SGD(momentum=0.9))
    curve = training.run(1e6, "constant", 0, 200)["curve"]
    assert len(curve["loss"]) < EVALUATIONS
    assert not np.isfinite(curve["loss"][-1])
    after = training.run(1e-3, "constant", 0, 200)["curve"]
    assert np.all(np.isfinite(after["averaged_loss"]))


def test_a_run_whose_minibatches_are_all_skipped_ends_early():
    training = Training(QUADRATIC, SALO)
    training._data = tuple(array * np.nan for array in training._data)
    curve = training.run(0.1, "constant", 0, 200)["curve"]
    assert len(curve["loss"]) == 1 and np.isfinite(curve["loss"]).all()


def test_hutchinson_samples_are_those_of_the_exact_hessian():
    """On a quadratic the average of the samples is the Hessian's diagonal."""
    training = Training(QUADRATIC, Sophia)
    training.optimizer.hessian_interval, training.optimizer.beta_2 = 1, 0.99
    training.run(1e-6, "constant", 0, 600)
    root = training.model.layers[-1].get_weights()[0]
    diagonal = np.diag(root @ root.T)
    samples = training.optimizer._curvatures[0].numpy() / (1 - 0.99**300)
    assert np.corrcoef(samples, diagonal)[0, 1] > 0.8
    assert samples.mean() == pytest.approx(diagonal.mean(), rel=0.1)


def test_finished_runs_are_kept_and_not_run_again(tmp_path, monkeypatch):
    contestant = Contestant(keras.optimizers.Adam, (0.01, 0.1))
    monkeypatch.setitem(protocol.CONTESTANTS, "some", contestant)
    said: list[str] = []

    def measure(seeds):
        protocol.measure("quadratic", "some", seeds, Results(tmp_path), said.append)

    measure(1)
    assert len(said) == 2
    measure(2)
    # The better learning rate once more, with the other seed.
    assert len(said) == 3 and "0.1 seed 1" in said[-1]
    records = Results(tmp_path).runs.values()
    assert {r["seed"] for r in records} == {0, 1}
    assert all(r["versions"] and r["machine"] for r in records)


@pytest.mark.parametrize("statuses, ends_with", [((0, 0), 0), ((0, -9), 1)])
def test_a_part_that_was_killed_is_no_success(statuses, ends_with, monkeypatch):
    left = list(statuses)

    class Part:
        def __init__(self, command):
            assert "--part" in command

        def wait(self):
            return left.pop(0)

    monkeypatch.setattr(sys, "argv", ["benchmarks", "--jobs", "2"])
    monkeypatch.setattr(benchmarks_main.subprocess, "Popen", Part)
    with pytest.raises(SystemExit) as ended:
        benchmarks_main.main()
    assert ended.value.code == ends_with


def test_a_set_has_workloads_contestants_and_a_folder_of_its_own(capsys):
    parsed = benchmarks_main.parsed
    chosen, test_set = parsed([]), parsed(["--set", "unseen"])
    assert "quadratic" in chosen.workloads and "words" in test_set.workloads
    assert chosen.output != test_set.output
    assert test_set.contestants == [*BASELINES, *OURS]
    with pytest.raises(SystemExit):
        parsed(["--set", "unseen", "--workloads", "quadratic"])
    assert "no workload quadratic" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["fuzzyhess, planned", "learned rules"])
def test_variants_of_fuzzyhess_can_be_made(name):
    made = protocol.CONTESTANTS[name].make()
    assert isinstance(made, FuzzyHess)
    assert (made.rule_base != FuzzyHess().rule_base) == (name == "learned rules")


@pytest.mark.parametrize("gradients", [60, 200])
def test_as_many_steps_are_planned_as_a_budget_is_enough_for(gradients):
    steps = protocol.steps_within(gradients)
    training = Training(QUADRATIC, FuzzyHess)
    training._restart(0)
    batches = training.batches(0)

    def take(count):
        indices = np.stack([next(batches) for _ in range(count)])
        training.train(indices, np.ones(count, "float32"))
        return training.gradient_evaluations()

    assert take(steps) <= gradients < take(1)
