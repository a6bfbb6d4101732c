"""Benchmarks: what FuzzyHess can do and what it costs."""
