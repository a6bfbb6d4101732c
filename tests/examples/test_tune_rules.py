"""The examples that tune rules run to the end."""

import sys

import keras
import learn_rules
import numpy as np
import pytest
import tune_rules


@pytest.mark.slow
def test_tune_rules(monkeypatch, tmp_path, capsys):
    arguments = ["--trials", "2", "--seeds", "1", "--epochs", "1"]
    monkeypatch.setattr(
        sys, "argv", ["tune_rules.py", *arguments, "--output", str(tmp_path)]
    )
    tune_rules.main()
    printed = capsys.readouterr().out
    assert "2 completed of 2 trials" in printed
    rows = [line.split() for line in printed.splitlines()]
    losses = {tuple(row[:2]): float(row[2]) for row in rows if row[1:2] == ["mean"]}
    assert set(losses) == {("default", "mean"), ("tuned", "mean")}
    assert all(loss < np.log(10) for loss in losses.values())
    assert (tmp_path / "rule_base.json").exists()


@pytest.mark.slow
def test_workloads_to_learn_from_fit_their_data():
    for workload in learn_rules.search_workloads():
        model = workload.build_fn()
        model.compile("sgd", workload.loss)
        assert model.evaluate(workload.x[:8], workload.y[:8], verbose=0) > 0
    for _, build, training, held_back, _ in learn_rules.unseen():
        assert len(training[0]) > len(held_back[0]) == len(held_back[1])
        assert build()(training[0][:8]).shape == (8, 10)
    keras.utils.clear_session()
