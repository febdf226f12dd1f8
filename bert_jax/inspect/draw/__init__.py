"""Findings as arrays, figures and pages."""
