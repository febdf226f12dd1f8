"""How the step is placed on devices."""
