"""What a run is, by files and arithmetic."""
