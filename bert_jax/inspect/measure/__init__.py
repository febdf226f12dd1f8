"""Measures that kinds of inspection share: states, spaces, similarity, linear probes."""
