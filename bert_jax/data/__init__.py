"""Text to host batches, in numpy. Nothing here imports jax."""
