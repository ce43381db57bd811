"""Steps that have graphs inside: one file each."""
