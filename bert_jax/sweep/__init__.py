"""Sweeps: experiment files, plans, run states, launchers, reports. Never imports jax."""
