"""Directions: where a step goes. How far it goes is decided elsewhere."""

from keras_fuzzyhess.direction.diagonal import Diagonal
from keras_fuzzyhess.direction.direction import (
    Course,
    Direction,
    MeasuredCurvature,
)
from keras_fuzzyhess.direction.eigenbases import Eigenbases
from keras_fuzzyhess.direction.named import direction_config, named_direction
from keras_fuzzyhess.direction.newton import Newton
from keras_fuzzyhess.direction.orthogonal import Orthogonal
from keras_fuzzyhess.direction.oscillation import OscillationMemory
from keras_fuzzyhess.direction.routed import Routed

__all__ = [
    "Course",
    "Diagonal",
    "Direction",
    "Eigenbases",
    "MeasuredCurvature",
    "Newton",
    "Orthogonal",
    "OscillationMemory",
    "Routed",
    "direction_config",
    "named_direction",
]
