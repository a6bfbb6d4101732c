"""KerasTuner searches the fuzzy rules of FuzzyHess; nothing is built here yet.

Raises:
    ImportError: if KerasTuner is not installed.
"""

try:
    import keras_tuner  # noqa: F401
except ImportError as error:
    raise ImportError(
        "`keras_fuzzyhess.tuner` needs KerasTuner. Install it with "
        '`pip install "keras-fuzzyhess[tuner]"`.'
    ) from error
