"""A network as files that others can use."""
