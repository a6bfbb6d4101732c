"""What is kept of the weights from step to step."""
