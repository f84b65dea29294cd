"""Shared basics: atomic file writes, the cache folder, units, devices."""
