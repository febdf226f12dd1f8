"""Files of labelled data, a format a module."""
