"""Small files that one scan reads together."""
