"""How elements go from stage to stage: ports, and where streams part and meet."""
