"""What happens when a step, a source or a sink fails."""
