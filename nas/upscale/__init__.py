"""Upscaling of image files of any size with a network."""
