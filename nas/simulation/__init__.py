"""Simulated searches in virtual time: objectives, the simulated executor, comparisons of samplers."""
