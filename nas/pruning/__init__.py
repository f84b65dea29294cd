"""Structured pruning: dependencies between channels, their importance, and removal."""
