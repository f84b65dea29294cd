"""Weights that authors released: recognised by their tensors, converted to the networks here.

Nothing of a file runs. To add a layout, write a function that reads it beside its relatives and put a line
into ``table.LAYOUTS``.
"""
