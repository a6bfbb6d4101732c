"""Data of the test set: what packages ship, or what a few lines generate."""
