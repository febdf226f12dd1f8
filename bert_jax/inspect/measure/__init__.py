"""What inspections measure with."""
