"""Labelled data: one file a kind of task."""
