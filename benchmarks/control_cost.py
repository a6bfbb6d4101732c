"""What the fuzzy system costs: compiling a rule base, and looking it up in a step.

python benchmarks/control_cost.py
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from keras_fuzzyhess.fuzzy import (
    compile_surface,
    control_surface,
    default_rule_base,
    paper_rule_base,
)

LOOK_UPS = 200


def median_seconds(function, repeats=15):
    """Median time of a call, the first left out."""
    function()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def chained(change):
    """A traced function that applies `change` many times, each to the last result."""
    start = tf.Variable(0.1)

    @tf.function
    def run():
        value = start.read_value()
        for _ in range(LOOK_UPS):
            value = change(value)
        return value

    return run


def main():
    default, paper = default_rule_base(), paper_rule_base()
    system = default.to_control_system()
    for name, compiled in (
        # Without the memory of what was compiled before.
        ("default_rule_base", lambda: compile_surface.__wrapped__(default)),
        ("paper_rule_base", lambda: compile_surface.__wrapped__(paper)),
        ("a ControlSystem", lambda: control_surface(system)),
    ):
        seconds = median_seconds(compiled, repeats=5)
        print(f"compiling {name:<20}{1e3 * seconds:8.1f} ms")
    surface = compile_surface(default)

    def look_up(value):
        outputs = surface.look_up(value, value)
        return value + outputs["gain_rate"] - outputs["beta_3"]

    with_surface = median_seconds(chained(look_up))
    without = median_seconds(chained(lambda value: value + 0.1 - 0.1))
    print(f"one look-up {1e6 * (with_surface - without) / LOOK_UPS:34.1f} us")


if __name__ == "__main__":
    main()
