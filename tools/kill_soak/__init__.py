"""Jobs with checkpoints that are killed without end, into every sink that shows each row once."""
