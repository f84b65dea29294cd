"""What a run is: its recipe, its protocol, its jobs."""
