"""The verb report: an experiment's answer."""
