"""Tuning of a training plan: which learning rate, clipping or schedule serves one network or several."""
