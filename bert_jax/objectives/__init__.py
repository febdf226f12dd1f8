"""Objectives: masks, heads and losses."""
