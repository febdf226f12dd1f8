"""Data pipeline: text to host batches, in numpy. Never imports jax."""
