"""A pendulum with a motor too weak to lift it: a fixed set of moves at random."""

import functools

import numpy as np

from benchmarks.workload import Data

TORQUES = (-2.0, -1.0, 0.0, 1.0, 2.0)
"""What can be done, as in Gymnasium's pendulum."""

INTERVAL, GRAVITY = 0.1, 10.0


def _moved(angle, speed, torque):
    """Angle and speed after an interval; an angle of 0 is upright."""
    speed = speed + INTERVAL * (1.5 * GRAVITY * np.sin(angle) + 3 * torque)
    speed = np.clip(speed, -8, 8)
    return angle + INTERVAL * speed, speed


def _seen(angle, speed):
    return [np.cos(angle), np.sin(angle), speed / 8]


@functools.cache
def transitions() -> Data:
    """30,000 moves: what is seen, the number of the torque, reward, what is seen next.

    The target is zero, the residual of Bellman's equation.
    """
    random = np.random.default_rng(0)
    count = 30_000
    angle = random.uniform(-np.pi, np.pi, count)
    speed = random.uniform(-8, 8, count)
    action = random.integers(0, len(TORQUES), count)
    torque = np.array(TORQUES)[action]
    reward = -(angle**2 + 0.1 * speed**2 + 0.001 * torque**2) / 10
    columns = [*_seen(angle, speed), action, reward]
    columns += _seen(*_moved(angle, speed, torque))
    x = np.stack(columns, axis=1).astype("float32")
    return Data.split(x, np.zeros((count, 1), "float32"), held_back=2_000)
