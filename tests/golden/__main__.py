"""Records the golden trajectories: `python -m tests.golden`, and says what changed.

Only when the behaviour of an optimizer is meant to change.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from tests.golden.trajectories import FILE, NETWORKS, OPTIMIZERS, recorded, trajectory

before = dict(recorded()) if FILE.exists() else {}
after = {}
for optimizer in OPTIMIZERS:
    for network in NETWORKS:
        for name, values in trajectory(optimizer, network).items():
            after[f"{optimizer}, {network}, {name}"] = values
for key, values in after.items():
    if key not in before:
        print("new:", key)
    elif not np.array_equal(before[key], values):
        print("changed:", key, "by up to", np.abs(before[key] - values).max())
print("no other differs, to the bit")
np.savez_compressed(FILE, **after)
