"""Simulated searches: objectives from recorded trainings or formulas, comparisons of samplers."""
