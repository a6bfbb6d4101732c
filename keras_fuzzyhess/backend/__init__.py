"""Plumbing between Keras, TensorFlow and the algorithm."""
