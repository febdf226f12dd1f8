"""Launchers: local slots, SLURM, Kubernetes manifests. Never imports jax."""
