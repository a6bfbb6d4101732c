"""The average of curvature samples, as probes measure them."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_fuzzyhess.measure.curvature import diagonal_sample, random_signs
from keras_fuzzyhess.parts import Basis, Part, Step, scalar
from keras_fuzzyhess.state.mean_squares import MeanSquares, square_roots
from keras_fuzzyhess.state.moving_average import unbiased_rate
from keras_fuzzyhess.state.outer_product import OuterProduct, mean
from keras_fuzzyhess.state.packing import PackedState
from keras_fuzzyhess.state.vectors import has_finite_norm


class Curvature(Part):
    """What probes have measured of the Hessian's diagonal.

    In a basis, the signs of a shift are random there, and the diagonal is that of the
    Hessian turned into it: with `Q` the basis, `shift = r Q z`, and a sample is
    `z Q' (g(w + shift) - g(w)) / r`.

    Args:
        radius: Positive float, how far a probe shifts every weight.
        signs: Boolean, whether to shift each weight to a random side, which measures
            the diagonal without bias, or all to the same: row sums, as in arXiv
            2403.15416.
        squares: Boolean, whether to average the squares of samples, of which the scale
            is the root, or samples, of which it is the absolute value.
        basis: `Basis`, or None for the axes. Ours, as far as we know.

    Example:

    >>> from keras_fuzzyhess import FuzzyHess
    >>> curvature = Curvature(0.01)
    >>> curvature.build([tf.zeros(2)], FuzzyHess().add_variable)
    >>> curvature.keep([tf.constant([3.0, 4.0])], tf.constant(0.9), Step(0, [0]))
    >>> curvature.scale([0])[0].numpy().tolist(), float(curvature.mean)
    ([3.0, 4.0], 3.5)
    """

    def __init__(
        self,
        radius: float,
        signs: bool = True,
        squares: bool = True,
        basis: Basis | None = None,
    ) -> None:
        self.radius, self.signs, self.squares = radius, signs, squares
        self._basis = basis

    def build(self, weights: Sequence[tf.Variable], add: Callable) -> None:
        """Creates the average."""
        kind = MeanSquares if self.squares else PackedState
        self._average = kind(weights, add, "curvature")
        self._weight = scalar(add, "curvature_weight")
        self._mean = scalar(add, "mean_curvature")

    def shifts(
        self,
        gradients: Sequence[tf.Tensor],
        seed: tf.Tensor | None,
        indices: Sequence[int],
    ) -> list[tf.Tensor]:
        """From the weights to where a probe takes its gradient, packed."""
        if not self.signs:
            return [tf.fill(g.shape, tf.cast(self.radius, g.dtype)) for g in gradients]
        signs = random_signs(gradients, seed)
        radii = {z.dtype: tf.constant(self.radius, z.dtype) for z in signs}
        shifts = [radii[z.dtype] * z for z in signs]
        return shifts if self._basis is None else self._basis.out_of(shifts, indices)

    def samples(
        self,
        gradients: Sequence[tf.Tensor],
        shifted_gradients: Sequence[tf.Tensor],
        shifts: Sequence[tf.Tensor],
        indices: Sequence[int],
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """What a probe has measured, and whether all of it is finite."""
        measured = gradients, shifted_gradients, shifts
        if self._basis is not None:
            gradients, shifted_gradients, shifts = (
                self._basis.into(vectors, indices) for vectors in measured
            )
        samples = diagonal_sample(gradients, shifted_gradients, shifts)
        return samples, has_finite_norm(samples)

    def keep(self, samples: list[tf.Tensor], beta_3: tf.Tensor, step: Step) -> None:
        """Takes samples into the average, with the weight `1 - beta_3`."""
        rate, weight = unbiased_rate(1 - beta_3, self._weight.value)
        averages = self._average.move(samples, rate, step.indices)
        self._weight.assign(weight)
        self._mean.assign(mean(self._scale(averages)))

    @property
    def mean(self) -> tf.Tensor:
        """Scalar, the mean of the scale over all weights; 0 before the first probe."""
        return self._mean.value

    def scale(self, indices: Sequence[int]) -> list[tf.Tensor | OuterProduct]:
        """Root mean square, or absolute mean, of the samples of some weights."""
        return self._scale(self._average.read(indices))

    def _scale(self, averages: list) -> list[tf.Tensor | OuterProduct]:
        return square_roots(averages) if self.squares else [tf.abs(d) for d in averages]
