"""Measures that inspections share: states, spaces, similarity, linear probes."""
