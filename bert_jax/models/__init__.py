"""The encoder and its heads: flax modules that know no losses and no config files."""
