"""Placement of the step on devices."""
