"""What is trained: layers, inputs and losses of every kind."""

import numpy as np

from tests.contract import problems
from tests.contract.registry import holds_in
from tests.contract.training import FURTHER, fit, holds, mean_loss


@holds_in("layers frozen, later unfrozen and recompiled")
def frozen_layers(make):
    """One optimizer all along, made for all weights before any was frozen."""
    problem = problems.dense()

    def recompile(model):
        model.compile(model.optimizer, problem.losses["loss"], jit_compile=False)

    def freeze(model):
        model.optimizer.build(model.trainable_variables)
        model.layers[1].trainable = False
        recompile(model)

    start = problem.compiled(make()).layers[1].get_weights()
    model = holds(make, problem, prepare=freeze)
    trained, frozen = model.layers
    for old, new in zip(start, frozen.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)

    frozen.trainable = True
    recompile(model)
    before, loss = trained.get_weights() + start, mean_loss(model, problem)
    fit(model, problem.batches(), FURTHER)
    assert mean_loss(model, problem) < loss
    for old, new in zip(before, model.get_weights(), strict=True):
        assert (old != new).all()


@holds_in("shared layers")
def shared_layer(make):
    holds(make, problems.shared_layer())


@holds_in("BatchNorm and dropout")
def batch_norm(make):
    holds(make, problems.batch_norm())


@holds_in("recurrent network (GRU)")
def recurrent(make):
    holds(make, problems.recurrent())


@holds_in("embedding (sparse gradients)")
def embedding(make):
    holds(make, problems.embedding())


@holds_in("ragged inputs")
def ragged(make):
    holds(make, problems.ragged())


@holds_in("dictionary of inputs")
def dictionary(make):
    holds(make, problems.dictionary())


@holds_in("several losses, `loss_weights`, `sample_weight`")
def several_losses(make):
    holds(make, problems.several_losses())
