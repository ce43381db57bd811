"""Damaged messages that decoders must read as a strict reader does, or refuse with a typed error."""
