"""FuzzyHess: the algorithm, one step of it, and its state."""

import keras
import tensorflow as tf

from keras_fuzzyhess import controller, curvature, step_length
from keras_fuzzyhess.direction import clip_to_root_mean_square, preconditioner
from keras_fuzzyhess.fuzzy import control_surface, default_rule_base
from keras_fuzzyhess.replicas import all_reduce_sum
from keras_fuzzyhess.second_gradient import GradientsAt, SecondGradientOptimizer

# All of these are our choice.
PROBE_RADIUS = 1e-2
CURVATURE_DAMPING = 0.1
EPSILON = 1e-8
CLIP_FACTOR = 3.0
LENGTH_PROBE_MOMENTUM = 0.97
EARLY_CURVATURE_PROBES = (0, 2, 6)
EARLY_LENGTH_PROBES = (1, 3, 7)


@keras.saving.register_keras_serializable(package="keras_fuzzyhess")
class FuzzyHess(SecondGradientOptimizer):
    def __init__(
        self,
        learning_rate=1.0,
        beta_1=0.9,
        beta_2=0.999,
        curvature_power=0.5,
        probe_interval=10,
        total_steps=None,
        rule_base=None,
        seed=None,
        weight_decay=None,
        clipnorm=None,
        clipvalue=None,
        global_clipnorm=None,
        use_ema=False,
        ema_momentum=0.99,
        ema_overwrite_frequency=None,
        loss_scale_factor=None,
        gradient_accumulation_steps=None,
        name="fuzzyhess",
        **kwargs,
    ):
        super().__init__(
            learning_rate=learning_rate,
            name=name,
            weight_decay=weight_decay,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency,
            loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps,
            **kwargs,
        )
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.curvature_power = curvature_power
        self.probe_interval = probe_interval
        self.total_steps = total_steps
        self.rule_base = rule_base or default_rule_base()
        self.seed = seed
        self._surface = control_surface(self.rule_base)

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._momentums, self._curvatures = self.add_optimizer_variables(
            variables, ["momentum", "curvature"]
        )
        if self.curvature_power < 1:
            self._velocities = self.add_optimizer_variables(variables, "velocity")
        self._seed_generator = keras.random.SeedGenerator(self.seed)
        self._track_variable(self._seed_generator.state)
        scalar = self._add_scalar
        self._loss_statistics = controller.LossStatistics(
            *(scalar(f"loss_{name}") for name in controller.LossStatistics._fields)
        )
        self._gain = scalar("gain", 1.0)
        self._beta_3 = scalar("beta_3")
        self._curvature_weight = scalar("curvature_weight")
        self._mean_curvature = scalar("mean_curvature")
        self._slope = scalar("slope")
        self._slope_curvature = scalar("slope_curvature")
        self._last_length = scalar("last_length")
        self._probes = self.add_variable((), dtype="int", name="probes")

    def _add_scalar(self, name, value=0.0):
        return self.add_variable(
            (), keras.initializers.Constant(value), "float32", name=name
        )

    # measure

    def is_probe_step(self):
        is_curvature, is_length = self._probe_kinds()
        return is_curvature | is_length

    def _probe_kinds(self):
        step = tf.cast(tf.convert_to_tensor(self.iterations), tf.int32)
        phase = step % self.probe_interval
        regular_c = tf.equal(phase, 0)
        regular_l = tf.equal(phase, self.probe_interval // 2)
        early_c = tf.reduce_any(tf.equal(step, EARLY_CURVATURE_PROBES))
        early_l = tf.reduce_any(tf.equal(step, EARLY_LENGTH_PROBES))
        return (
            regular_c | (early_c & ~regular_l),
            regular_l | (early_l & ~regular_c),
        )

    def probe(self, gradients_at, gradients, variables):
        is_curvature, _ = self._probe_kinds()
        direction = self._direction(variables)
        last_length = self._last_length.value
        distance = step_length.probe_distance(last_length, direction, PROBE_RADIUS)
        signs = curvature.random_signs(variables, self._seed_generator)
        shifts = [
            tf.where(is_curvature, PROBE_RADIUS * z, -tf.cast(distance, u.dtype) * u)
            for z, u in zip(signs, direction, strict=True)
        ]
        shifted_gradients, _ = gradients_at(shifts)
        gradients = all_reduce_sum(gradients)
        shifted_gradients = all_reduce_sum(shifted_gradients)

        def average_curvature():
            self._average_curvature(
                curvature.diagonal_sample(gradients, shifted_gradients, shifts), variables
            )
            return 0

        def average_slope():
            s, kappa = step_length.slope_and_curvature(
                gradients, shifted_gradients, direction, distance, last_length
            )
            b = LENGTH_PROBE_MOMENTUM
            self._slope.assign(b * self._slope + (1 - b) * s)
            self._slope_curvature.assign(b * self._slope_curvature + (1 - b) * kappa)
            return 0

        tf.cond(is_curvature, average_curvature, average_slope)
        self._probes.assign_add(1)

    def _average_curvature(self, samples, variables):
        beta_3 = self._beta_3.value
        for variable, sample in zip(variables, samples, strict=True):
            d = self._curvatures[self._get_variable_index(variable)]
            b = tf.cast(beta_3, sample.dtype)
            d.assign(b * d + (1 - b) * sample**2)
        self._curvature_weight.assign(beta_3 * self._curvature_weight + (1 - beta_3))
        roots = self._root_curvature(variables)
        count = sum(r.shape.num_elements() for r in roots)
        self._mean_curvature.assign(
            tf.add_n([tf.cast(tf.reduce_sum(r), tf.float32) for r in roots]) / count
        )

    def _root_curvature(self, variables):
        return curvature.root_mean_square(
            [self._curvatures[self._get_variable_index(v)].value for v in variables],
            self._curvature_weight.value,
        )

    # decide

    def observe_loss(self, loss):
        statistics = controller.LossStatistics(
            *(v.value for v in self._loss_statistics)
        )
        for v, value in zip(
            self._loss_statistics, controller.observe_loss(statistics, loss)
        ):
            v.assign(value)
        output = self._surface.look_up(self._trend(), self._progress())
        self._beta_3.assign(output["beta_3"])
        self._output = output

    def _trend(self):
        return controller.loss_trend(
            controller.LossStatistics(*(v.value for v in self._loss_statistics))
        )

    def _progress(self):
        return controller.training_progress(self.iterations, self.total_steps)

    # apply

    def displacements(self, gradients, variables, learning_rate):
        step = self.iterations
        output = self._surface.look_up(self._trend(), self._progress())
        self._gain.assign(controller.controlled_gain(self._gain.value, output))
        for gradient, variable in zip(gradients, variables, strict=True):
            i = self._get_variable_index(variable)
            m = self._momentums[i]
            m.assign(m + (1 - self.beta_1) * (gradient - m))
            if self.curvature_power < 1:
                v = self._velocities[i]
                v.assign(v + (1 - self.beta_2) * (gradient**2 - v))
        length = learning_rate * self._gain * self._measured_length()
        self._last_length.assign(length)
        return [
            tf.cast(length, u.dtype) * u for u in self._direction(variables, step + 1)
        ]

    def _measured_length(self):
        return step_length.line_minimum(self._slope.value, self._slope_curvature.value)

    def _direction(self, variables, step=None):
        step = tf.cast(self.iterations if step is None else step, tf.float32)
        m_scale = 1 - self.beta_1**step
        v_scale = 1 - self.beta_2**step
        direction = []
        for variable, root in zip(
            variables, self._root_curvature(variables), strict=True
        ):
            i = self._get_variable_index(variable)
            gs = None
            if self.curvature_power < 1:
                gs = tf.sqrt(
                    tf.math.divide_no_nan(
                        self._velocities[i].value, tf.cast(v_scale, root.dtype)
                    )
                )
            D = preconditioner(
                root, tf.cast(self._mean_curvature.value, root.dtype), gs,
                self.curvature_power, CURVATURE_DAMPING, EPSILON,
            )
            direction.append(
                tf.math.divide_no_nan(
                    self._momentums[i].value, tf.cast(m_scale, root.dtype)
                )
                / D
            )
        return clip_to_root_mean_square(direction, CLIP_FACTOR)

    @property
    def diagnostics(self):
        return {
            "step_length": float(self._measured_length()),
            "last": float(self._last_length.value),
            "gain": float(self._gain.value),
            "beta_3": float(self._beta_3.value),
            "loss_trend": float(self._trend()),
            "progress": float(self._progress()),
            "mean_curvature": float(self._mean_curvature.value),
            "slope": float(self._slope.value),
            "probes": int(self._probes.value),
        }
