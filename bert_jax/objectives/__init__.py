"""What is learned from a batch: masks, heads and losses, as Objectives."""
