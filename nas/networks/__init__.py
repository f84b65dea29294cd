"""Networks by their specification: resolve it, load its weights, the pretrained ones."""
