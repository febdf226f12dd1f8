"""Inspections of a run: each kind is a module with functions for notebooks."""
