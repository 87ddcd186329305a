"""What a run tells you."""
