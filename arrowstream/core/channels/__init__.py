"""The state that the two ends of a channel share, and the sending end."""
