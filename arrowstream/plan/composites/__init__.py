"""Steps with graphs inside, one kind a file."""
