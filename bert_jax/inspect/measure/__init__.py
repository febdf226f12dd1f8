"""Measures shared by inspections: states, spaces, similarity, linear probes."""
