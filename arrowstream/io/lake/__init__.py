"""What tables of lakes share: types, data files, epochs of a sink, and versions that a source follows."""
