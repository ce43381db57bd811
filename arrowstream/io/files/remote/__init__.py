"""Files that are objects of a store, or answers of a web server."""
