"""Values of any layer that do not change and can be pickled."""
