"""Where runs are started: local slots, SLURM, Kubernetes manifests. Never jax."""
