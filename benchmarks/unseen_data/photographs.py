"""Patches of colour photographs that scikit-learn and scikit-image ship."""

import functools

import numpy as np

from benchmarks.workload import Data

SIDE, NOISY_SIDE = 24, 16
"""Pixels along a side of a patch, to be told apart or to be cleaned."""

SCENES = ("astronaut", "chelsea", "coffee", "rocket", "retina", "hubble_deep_field")
"""Photographs of scikit-image that are told apart by their patches."""

FLATTEST = 0.03
"""Least standard deviation of a patch: sky and black margins say nothing."""


def _patches(image: np.ndarray, side: int, count: int, random) -> np.ndarray:
    """So many patches at random places that are not flat."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (side, side), (0, 1))
    places = (random.integers(0, size, 4 * count) for size in windows.shape[:2])
    patches = windows[*places].transpose(0, 2, 3, 1).astype("float32") / 255
    return patches[patches.std(axis=(1, 2, 3)) > FLATTEST][:count]


def _parts(image: np.ndarray, side: int, count: int, random) -> list[np.ndarray]:
    """Patches to train on; a fifth as many, of the right fifth, are held back."""
    border = image.shape[1] * 4 // 5
    return [
        _patches(image[:, :border], side, count, random),
        _patches(image[:, border:], side, count // 5, random),
    ]


@functools.cache
def noisy_patches() -> Data:
    """4,000 patches of two photographs with noise; the target is the patch."""
    from sklearn.datasets import load_sample_images

    random = np.random.default_rng(0)
    images = load_sample_images().images
    parts = zip(*(_parts(i, NOISY_SIDE, 2_000, random) for i in images), strict=True)
    clean, held_back = (random.permutation(np.concatenate(p)) for p in parts)

    def noisy(patches):
        noise = random.normal(size=patches.shape, scale=0.2)
        return (patches + noise).astype("float32")

    return Data(noisy(clean), clean, noisy(held_back), held_back)


def _turned(patches: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Turned, mirrored, and with other colours, for these alone tell the scene."""
    turned = np.stack([np.rot90(p, int(random.integers(4))) for p in patches])
    mirror = random.random((len(turned), 1, 1, 1)) < 0.5
    mirrored = np.where(mirror, turned[:, ::-1], turned)
    centred = mirrored - mirrored.mean(axis=(1, 2), keepdims=True)
    contrast = random.uniform(0.5, 2.0, (len(turned), 1, 1, 3))
    return (contrast * centred).astype("float32")


@functools.cache
def scenes() -> Data:
    """Patches without their mean colours; the target is the photograph, 0 to 5."""
    from skimage import data

    random = np.random.default_rng(1)
    parts = [_parts(getattr(data, name)(), SIDE, 800, random) for name in SCENES]
    arrays = []
    for patches in zip(*parts, strict=True):
        y = np.repeat(np.arange(len(SCENES), dtype="int32"), list(map(len, patches)))
        order = random.permutation(len(y))
        arrays += [_turned(np.concatenate(patches), random)[order], y[order]]
    return Data(*arrays)
