"""The `arrowstream` command."""
