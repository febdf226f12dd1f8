"""The verb plan: a step compiled for a topology."""
