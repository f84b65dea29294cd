"""Compression of a trained network: a pipeline of distillation, pruning and quantisation."""
