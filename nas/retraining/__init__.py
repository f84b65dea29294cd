"""Re-training of a run's networks: selection, controls, the longer training, reproduction."""
