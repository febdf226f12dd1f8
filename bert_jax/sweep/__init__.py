"""An experiment file, its plan, the states of its runs, and its report. Never jax."""
