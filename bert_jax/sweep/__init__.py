"""Sweeps: experiment files, plans, run states, launchers, reports. No jax here."""
