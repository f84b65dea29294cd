"""Enlarging image files with a network."""
