"""Bases of matrices: the Hessian's diagonal there, and how they are moved."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.direction import Diagonal, Eigenbases, Orthogonal, Routed
from keras_fuzzyhess.direction.eigenbases import interval_at, moved_basis
from keras_fuzzyhess.measure.curvature import hessian_vector_product
from keras_fuzzyhess.measure.curvature_average import Curvature
from keras_fuzzyhess.parts import Step
from keras_fuzzyhess.state.packing import PackedState, Packing
from tests.helpers import networks
from tests.helpers.replicas import mirrored_strategy
from tests.helpers.small_training import assert_same, fit

RANDOM = np.random.default_rng(0)


def built(weights, **constants):
    bases = Eigenbases(**constants)
    bases.build(weights, FuzzyHess().add_variable)
    return bases


def state(weights):
    return PackedState(weights, FuzzyHess().add_variable, "kept")


def moved(bases, weights, steps=12):
    """Bases after some random gradients of a few large directions."""
    packing, indices, kept = Packing(weights), list(range(len(weights))), state(weights)
    large = [RANDOM.normal(size=w.shape).astype("float32") for w in weights]
    for number in range(steps):
        gradients = [
            x * RANDOM.normal() + 0.1 * RANDOM.normal(size=x.shape) for x in large
        ]
        packed = packing.pack([tf.constant(g, tf.float32) for g in gradients])
        bases.move(packed, Step(tf.constant(number), indices), kept)
    return bases


def dense_turn(bases, weights):
    """The matrix `Q` with which `into` is `Q' x`, of all weights one after another."""
    count = sum(int(tf.size(w)) for w in weights)
    packing, indices, columns = Packing(weights), list(range(len(weights))), []
    for unit in np.eye(count, dtype="float32"):
        cuts = np.cumsum([int(tf.size(w)) for w in weights])[:-1]
        pieces = np.split(unit, cuts)
        tensors = [
            tf.constant(p.reshape(w.shape))
            for p, w in zip(pieces, weights, strict=True)
        ]
        turned = packing.unpack(bases.into(packing.pack(tensors), indices))
        columns.append(np.concatenate([np.ravel(x) for x in turned]))
    return np.stack(columns)  # row i is `Q' e_i`


WEIGHTS = [
    tf.zeros(s) for s in ((3, 5), (4,), (2, 2, 3, 6), (1, 4), (9, 3), (3, 5), (4, 1, 3))
]


@pytest.mark.parametrize("longest_side", [4, 5, 256])
def test_the_way_back_is_the_transpose(longest_side):
    bases = moved(built(WEIGHTS, longest_side=longest_side), WEIGHTS)
    turn = dense_turn(bases, WEIGHTS)
    np.testing.assert_allclose(turn @ turn.T, np.eye(len(turn)), atol=1e-5)
    assert np.abs(turn - np.eye(len(turn))).max() > 0.1
    packing, indices = Packing(WEIGHTS), list(range(len(WEIGHTS)))
    vectors = packing.pack(
        [tf.random.stateless_normal(w.shape, (0, 1)) for w in WEIGHTS]
    )
    back = bases.out_of(bases.into(vectors, indices), indices)
    for before, after in zip(vectors, back, strict=True):
        np.testing.assert_allclose(before, after, atol=1e-5)


def test_some_weights_alone_are_turned_as_they_are_among_all():
    bases, indices = moved(built(WEIGHTS), WEIGHTS), [2, 1]
    chosen = [tf.random.stateless_normal(WEIGHTS[i].shape, (0, 1)) for i in indices]
    packing = Packing(chosen)
    alone = packing.unpack(bases.into(packing.pack(chosen), indices))
    every = Packing(WEIGHTS)
    tensors = [tf.zeros(w.shape) for w in WEIGHTS]
    for i, tensor in zip(indices, chosen, strict=True):
        tensors[i] = tensor
    among = every.unpack(bases.into(every.pack(tensors), range(len(WEIGHTS))))
    for i, tensor in zip(indices, alone, strict=True):
        np.testing.assert_allclose(tensor, among[i], atol=1e-6)


def test_which_weights_have_bases():
    """Sides of at most 8 and bases of at most 4.25 numbers for each element."""
    bases = Eigenbases(longest_side=8, largest_size=4.25)
    shapes = {
        (4, 3): True,
        (8, 2): True,  # 64 + 4 numbers for 16 elements
        (8, 8): True,
        (9, 8): False,
        (7, 1): False,  # no matrix
        (5,): False,
        (): False,
        (6, 1, 2): True,  # 36 + 4 for 12: an axis of one is none
        (3, 3, 3, 6): False,  # a window of nine
        (2, 2, 3, 6): True,
        (0, 3): False,
    }
    assert {s: bases.turns(tf.zeros(s)) for s in shapes} == shapes
    assert not Eigenbases(8, 4.0).turns(tf.zeros((8, 2)))


def test_weights_without_bases_stay_as_they_are():
    weights = [tf.zeros(5), tf.zeros((1, 4)), tf.zeros((33, 2)), tf.zeros((3, 2))]
    turn = dense_turn(moved(built(weights), weights), weights)
    np.testing.assert_array_equal(turn[:75], np.eye(len(turn))[:75])
    assert np.abs(turn[75:, 75:] - np.eye(6)).max() > 0.1


def test_a_kernel_is_turned_along_each_of_its_axes():
    """`tensordot` of NumPy, with what is kept of each axis."""
    weights = [tf.zeros((2, 2, 3, 6))]
    variables = []

    def add(*args, **kwargs):
        variables.append(FuzzyHess().add_variable(*args, **kwargs))
        return variables[-1]

    bases = Eigenbases()
    bases.build(weights, add)
    moved(bases, weights)
    window, inputs, outputs = (
        v.numpy() for v in variables if v.name.startswith("basis")
    )
    x = RANDOM.normal(size=(4, 3, 6)).astype("float32")
    expected = np.einsum("vjp,vw,ji,po->wio", x, window, inputs, outputs)
    (made,) = bases.into([tf.constant(x.ravel())], [0])
    np.testing.assert_allclose(made, expected.ravel(), atol=1e-5)


def test_bases_become_the_eigenvectors():
    values = np.array([9.0, 4.0, 1.0, 0.25])
    basis = np.linalg.qr(RANDOM.normal(size=(4, 4)))[0]
    square = tf.constant((basis * values) @ basis.T, tf.float32)
    found, eigenvalues = tf.eye(4), tf.zeros(4)
    for _ in range(120):
        found, eigenvalues = moved_basis(found, eigenvalues, square @ found, 0.5)
    np.testing.assert_allclose(np.abs(found.numpy().T @ basis), np.eye(4), atol=1e-3)
    np.testing.assert_allclose(eigenvalues, values, rtol=1e-3)


def test_bases_of_random_gradients_come_near_those_of_their_average():
    """What is forgotten of `M`, all but its diagonal, does not lead elsewhere."""
    scales = np.array([1.0, 0.3, 0.1, 0.03, 0.01])
    basis = np.linalg.qr(RANDOM.normal(size=(5, 5)))[0]
    found, eigenvalues = tf.eye(5), tf.zeros(5)
    for _ in range(400):
        matrix = (basis * scales) @ RANDOM.normal(size=(5, 8))
        square = tf.constant(matrix @ matrix.T, tf.float32)
        found, eigenvalues = moved_basis(found, eigenvalues, square @ found, 0.9)
    assert np.abs(np.diag(found.numpy().T @ basis)).min() > 0.97
    np.testing.assert_allclose(eigenvalues, 8 * scales**2, rtol=0.6)


def test_nothing_measured_moves_no_basis():
    basis = tf.constant(np.linalg.qr(RANDOM.normal(size=(3, 3)))[0], tf.float32)
    eigenvalues = tf.zeros(3)
    same, zeros = moved_basis(basis, eigenvalues, tf.zeros((3, 3)), 0.9)
    np.testing.assert_array_equal(same, basis)
    np.testing.assert_array_equal(zeros, eigenvalues)


@pytest.mark.parametrize("size", [1e-15, 1e-6, 1.0, 1e9, 1e15])
def test_a_basis_is_that_of_singular_gradients_however_large(size):
    column = (size * RANDOM.normal(size=(6, 1))).astype("float32")
    square = tf.constant(column @ column.T)
    found, eigenvalues = moved_basis(tf.eye(6), tf.zeros(6), square, 0.0)
    np.testing.assert_allclose(found.numpy().T @ found, np.eye(6), atol=1e-5)
    length = np.linalg.norm(column / size)
    first = found.numpy()[:, 0] * np.sign(column[0])
    np.testing.assert_allclose(first, column[:, 0] / size / length, atol=0.02)
    assert np.isfinite(eigenvalues).all()


def test_gradients_too_large_to_be_squared_move_no_basis():
    infinite = tf.fill((3, 3), np.float32(np.inf))
    basis, eigenvalues = moved_basis(tf.eye(3), tf.ones(3), infinite, 0.9)
    np.testing.assert_array_equal(basis, np.eye(3))
    np.testing.assert_array_equal(eigenvalues, np.ones(3))


def test_one_huge_gradient_leaves_all_state_finite():
    x = tf.constant(RANDOM.normal(size=(16, 4)).astype("float32"))
    w, factor = tf.Variable(tf.ones((4, 3))), tf.Variable(1.0)
    optimizer = FuzzyHess(seed=0)
    for step in range(12):
        factor.assign(1e11 if step == 3 else 1.0)
        optimizer.minimize(lambda: factor * tf.reduce_mean((x @ w) ** 2), [w])
    assert all(np.isfinite(v.numpy()).all() for v in optimizer.variables)
    assert optimizer.diagnostics["skipped_steps"] == 0


def test_a_weight_whose_first_gradient_comes_late_gets_bases_then():
    """It comes in a step in which it is another weight's turn, and not again."""
    weights = [tf.zeros((3, 4)), tf.zeros((2, 5))]
    bases, packing = built(weights, interval=10), Packing(weights)
    for number in range(25):
        late = 1.0 if number == 15 else 0.0
        gradients = [RANDOM.normal(size=(3, 4)), late * RANDOM.normal(size=(2, 5))]
        packed = packing.pack([tf.constant(g, tf.float32) for g in gradients])
        bases.move(packed, Step(tf.constant(number), [0, 1]), state(weights))
    turn = dense_turn(bases, weights)[12:, 12:]
    assert np.abs(turn - np.eye(10)).max() > 0.1


def test_what_is_kept_in_bases_is_turned_along_with_them():
    """Out of the bases it stays as it was, to 1e-5 of its size, when they are moved."""
    bases, packing, kept = built(WEIGHTS), Packing(WEIGHTS), state(WEIGHTS)
    indices = list(range(len(WEIGHTS)))
    x = packing.pack(
        [tf.constant(RANDOM.normal(size=w.shape), tf.float32) for w in WEIGHTS]
    )
    kept.assign(bases.into(x, indices), indices)
    for number in range(30):
        g = [tf.constant(RANDOM.normal(size=w.shape), tf.float32) for w in WEIGHTS]
        bases.move(packing.pack(g), Step(tf.constant(number), indices), kept)
        for vector, expected in zip(
            bases.out_of(kept.read(indices), indices), x, strict=True
        ):
            np.testing.assert_allclose(vector, expected, atol=1e-5)
    assert np.abs(dense_turn(bases, WEIGHTS) - np.eye(sum(map(len, x)))).max() > 0.1


def test_momentum_in_the_bases_is_that_along_the_axes_turned_into_them():
    """The step is that of the readable form, to 1e-4 of its size."""
    weights = [tf.zeros((6, 4)), tf.zeros(3), tf.zeros((3, 2, 5))]
    indices, packing = [0, 1, 2], Packing(weights)
    bases = built(weights)
    constants = {"curvature_power": 0.0, "floor": 0.01, "clip_factor": 1e9}
    direction = Diagonal(**constants, basis=Eigenbases())
    direction.build(weights, FuzzyHess().add_variable)
    momentum = velocity = 0.0
    for number in range(40):
        step = Step(tf.constant(number), indices)
        g = [RANDOM.normal(size=w.shape) for w in weights]
        packed = packing.pack([tf.constant(x, tf.float32) for x in g])
        course = direction(packed, None, step)
        flat = np.concatenate([np.ravel(x) for x in packed])
        momentum = 0.9 * momentum + 0.1 * flat
        unbiased = momentum / (1 - 0.9 ** (number + 1))
        mixed = (1 - direction.gradient_share) * unbiased
        mixed += direction.gradient_share * flat
        bases.move(packed, step, state(weights))
        inside = bases.into(packed, indices)
        velocity = 0.9 * velocity + 0.1 * np.square(inside[0])
        root = np.sqrt(velocity / (1 - 0.9 ** (number + 1)))
        (turned,) = bases.into([tf.constant(mixed, tf.float32)], indices)
        scaled = turned / (root + 0.01 * root.mean())
        (expected,) = bases.out_of([tf.constant(scaled, tf.float32)], indices)
        found = course.factor * course.vectors[0]
        error = np.abs(found - expected).max() / np.abs(expected).max()
        assert error < 1e-4, number


def test_only_what_is_kept_of_the_step_s_weights_is_turned():
    weights = [tf.zeros((3, 4)), tf.zeros((2, 5))]
    bases, kept = built(weights), state(weights)
    kept.assign([tf.ones(22)], [0, 1])
    gradient = tf.constant(RANDOM.normal(size=10), tf.float32)
    for number in range(4):
        bases.move([gradient], Step(tf.constant(number), [1]), kept)
    (after,) = kept.read([0, 1])
    assert (after[:12].numpy() == 1).all()
    assert np.abs(after[12:].numpy() - 1).max() > 0.01


def test_bases_are_moved_less_and_less_often():
    """Of one weight: 4 early, then every 5th step, every 10th, every 20th, ..."""
    weights = [tf.zeros((3, 4))]
    bases, moves, before = built(weights, thinning=20.0), [], None
    for number in range(300):
        gradient = tf.constant(RANDOM.normal(size=12), tf.float32)
        bases.move([gradient], Step(tf.constant(number), [0]), state(weights))
        after = dense_turn(bases, weights)
        if before is None or (after != before).any():
            moves.append(number)
        before = after
    expected = [0, 1, 2, 3, 5, 10, 15, 20, 30, 40, 50, 60, 80, 100, 120, 160, 200, 240]
    assert moves == [*expected, 280]


def test_an_interval_ends_growing():
    last = tf.constant(2**31 - 1)
    assert int(interval_at(last, 5, 1.0)) == 5 * 2**10


def test_weights_of_two_dtypes_have_bases_side_by_side():
    single, double = (
        tf.Variable(tf.ones((4, 3))),
        tf.Variable(tf.ones((4, 3), "float64")),
    )
    optimizer = FuzzyHess(seed=0)
    for _ in range(6):
        optimizer.minimize(
            lambda: (
                tf.reduce_sum(single**2) + tf.cast(tf.reduce_sum(double**2), "float32")
            ),
            [single, double],
        )
    for weight in (single, double):
        assert float(tf.reduce_sum(weight**2)) < 12


def test_matrices_with_bases_are_not_made_orthogonal_and_others_are():
    """A random gradient, in the first step."""
    short = tf.Variable(tf.zeros((4, 4)))
    oblong = tf.Variable(tf.zeros((2, 40)))
    slope = RANDOM.normal(size=(4, 4)).astype("float32")
    row = RANDOM.normal(size=(2, 40)).astype("float32") + 1
    scaled = Diagonal(curvature_power=0.0, gradient_share=0.0, basis=Eigenbases())
    direction = Orthogonal(scaled)
    direction.build([short, oblong], FuzzyHess().add_variable)
    packing = Packing([short, oblong])
    course = direction(
        packing.pack([tf.constant(slope), tf.constant(row)]),
        None,
        Step(tf.constant(0), [0, 1]),
    )
    alone, _ = packing.unpack(course.vectors)
    plain = scaled.copy()
    plain.build([short, oblong], FuzzyHess().add_variable)
    unmade = plain(
        packing.pack([tf.constant(slope), tf.constant(row)]),
        None,
        Step(tf.constant(0), [0, 1]),
    )
    same, other = packing.unpack(unmade.vectors)
    np.testing.assert_allclose(alone, same, atol=1e-6)
    assert np.abs(packing.unpack(course.vectors)[1] - other).max() > 1e-3
    routed = Routed(matrices=scaled, others=Diagonal())
    assert routed.turns(short) and not routed.turns(oblong)


def hessian_of(loss_fn, weights):
    """All second derivatives, of all weights one after another."""
    packing, columns = Packing(weights), []
    for unit in np.eye(packing.lengths[0], dtype="float32"):
        vectors = packing.unpack([tf.constant(unit)])
        products = hessian_vector_product(loss_fn, weights, vectors)
        columns.append(packing.pack(products)[0].numpy())
    return np.stack(columns)


def test_samples_average_to_the_diagonal_of_the_turned_hessian():
    """Their error falls as the root of their number: a sample is without bias."""
    keras.utils.set_random_seed(0)
    x, y = RANDOM.normal(size=(32, 3)), RANDOM.normal(size=(32, 2))
    x, y = x.astype("float32"), y.astype("float32")
    weights = [
        tf.Variable(RANDOM.normal(size=s).astype("float32")) for s in ((3, 4), (4, 2))
    ]

    def loss_fn():
        return tf.reduce_mean((tf.tanh(x @ weights[0]) @ weights[1] - y) ** 2)

    def gradients():
        with tf.GradientTape() as tape:
            loss = loss_fn()
        return packing.pack(tape.gradient(loss, weights))

    packing, indices = Packing(weights), [0, 1]
    bases = moved(built(weights), weights)
    turn = dense_turn(bases, weights)
    exact = np.diag(turn.T @ hessian_of(loss_fn, weights) @ turn)
    curvature = Curvature(1e-2, basis=bases)
    at_weights, seeds = gradients(), keras.random.SeedGenerator(0)
    samples = []
    for _ in range(400):
        shifts = curvature.shifts(at_weights, seeds.next(), indices)
        for weight, shift in zip(weights, packing.unpack(shifts), strict=True):
            weight.assign_add(shift)
        shifted = gradients()
        for weight, shift in zip(weights, packing.unpack(shifts), strict=True):
            weight.assign_sub(shift)
        sample, finite = curvature.samples(at_weights, shifted, shifts, indices)
        assert finite
        samples.append(np.concatenate([np.ravel(v) for v in sample]))
    errors = {
        count: np.sqrt(
            np.mean(
                [
                    np.mean((np.mean(samples[i : i + count], 0) - exact) ** 2)
                    for i in range(0, 400, count)
                ]
            )
        )
        for count in (4, 100)
    }
    size = np.sqrt(np.mean(exact**2))
    assert errors[100] < 0.4 * size
    assert 3 < errors[4] / errors[100] < 8  # 5 by theory
    along_axes = np.diag(hessian_of(loss_fn, weights))
    assert np.abs(exact - along_axes).max() > 0.2 * size  # another diagonal


def test_without_a_turn_it_is_the_diagonal_direction():
    """Bases that are never moved are the axes."""

    class Still(Eigenbases):
        def move(self, gradients, step, kept):
            pass

    def weights_after(direction):
        keras.utils.set_random_seed(0)
        model = networks.dense()
        optimizer = FuzzyHess(direction=direction, seed=0, probe_interval=4)
        model.compile(optimizer, networks.cross_entropy)
        fit(model, networks.data(model, batches=8), epochs=2)
        return model.get_weights()

    start = weights_after(Diagonal())
    for turned, plain in zip(
        weights_after(Diagonal(basis=Still())), start, strict=True
    ):
        np.testing.assert_allclose(turned, plain, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("curvature_power", [0.0, 0.5])
def test_replicas_have_the_same_bases_to_the_bit(curvature_power):
    with mirrored_strategy().scope():
        keras.utils.set_random_seed(0)
        model = networks.dense()
        optimizer = FuzzyHess(
            direction="rotated", curvature_power=curvature_power, seed=0
        )
        model.compile(optimizer, networks.cross_entropy)
    fit(model, networks.data(model, batches=8), epochs=2)
    bases = [v for v in optimizer.variables if "basis" in v.name]
    assert bases
    for basis in bases:
        one, other = (copy.numpy() for copy in basis.value.values)
        assert_same([one], [other])


@pytest.mark.parametrize(
    "name, value",
    [
        ("longest_side", 1),
        ("largest_size", 1.5),
        ("interval", 0),
        ("interval", 2.5),
        ("thinning", 0.5),
        ("momentum", 1.0),
    ],
)
def test_a_mistaken_argument_is_refused(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        Eigenbases(**{name: value})


def test_what_are_no_bases_is_refused():
    with pytest.raises(TypeError, match="`basis` must be a"):
        Diagonal(basis="eigen")
