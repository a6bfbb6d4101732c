"""Makes Keras's `fit` run on several workers, which Keras 3.15 by itself does not.

Two lines of Keras's trainer for TensorFlow stop it, with any optimizer
(https://github.com/keras-team/keras/issues/20585):

- Before the first step Keras wants the shapes of a minibatch and averages one over the
  replicas. It hands all of `(images, labels)` to `tf.distribute.Strategy.reduce`, which
  `MirroredStrategy` returns as it is and `MultiWorkerMirroredStrategy` refuses.
- After every step it averages the metrics over the workers along axis 0, which scalars
  have not.
"""

import keras
import tensorflow as tf


def let_fit_run_on_workers(
    model: keras.Model, strategy: tf.distribute.MultiWorkerMirroredStrategy
) -> None:
    """Puts a way around both into this one model.

    Of the model and not of a subclass, so that what is saved is a plain `keras.Model`
    that loads without this file.

    Args:
        model: Compiled in the scope of `strategy`.
        strategy: Of several workers.
    """
    compute_metrics = model.compute_metrics

    def build_from_own_share(iterator):
        """Only shapes matter, and every replica's are the same."""
        _, _, batches = next(iter(iterator))
        batch = keras.tree.map_structure(
            lambda value: strategy.experimental_local_results(value)[0], next(batches)
        )
        with strategy.scope():
            model._symbolic_build(data_batch=batch)

    def compute_metrics_as_vectors(*args, **kwargs):
        return {
            name: keras.ops.reshape(value, (1,))
            for name, value in compute_metrics(*args, **kwargs).items()
        }

    model._maybe_symbolic_build = build_from_own_share
    model.compute_metrics = compute_metrics_as_vectors
