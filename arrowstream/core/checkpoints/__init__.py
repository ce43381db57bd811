"""What every layer knows of checkpoints: the context of a sink, durable files, and failpoints."""
