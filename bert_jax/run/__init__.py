"""Run directories, configs and run metadata."""
