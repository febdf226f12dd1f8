"""The `report` command: results of a sweep."""
