"""Published networks that are no point of the composed space: one file each."""
