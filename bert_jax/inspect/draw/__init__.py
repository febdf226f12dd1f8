"""Output of findings: arrays, figures and pages."""
