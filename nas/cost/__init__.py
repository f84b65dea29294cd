"""Exact costs before training: parameters, Multi-Adds, memory, latency, and budgets over them."""
