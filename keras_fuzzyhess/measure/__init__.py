"""What second gradients tell, and when they are taken."""

from keras_fuzzyhess.measure.curvature import hessian_vector_product

__all__ = ["hessian_vector_product"]
