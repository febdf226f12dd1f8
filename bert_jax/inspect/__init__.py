"""Looking inside a run: each kind is a module with a function that a notebook can call."""
