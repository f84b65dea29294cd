"""Calibration of proxies: which short training ranks architectures as the long one does."""
