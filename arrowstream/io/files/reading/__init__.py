"""Reading files: their pieces, how far a source has come, and folders that grow."""
