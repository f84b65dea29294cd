"""Making a trained network smaller: pruning, quantisation, and the pipeline that puts them together."""
