"""Measurements of one network: engines and precisions side by side."""
