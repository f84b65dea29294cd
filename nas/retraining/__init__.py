"""Re-training of networks of a run: selection, controls, the longer training, reproduction."""
