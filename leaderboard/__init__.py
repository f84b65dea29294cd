"""What was found: the results database, its front mathematics and its views (never imports torch)."""
