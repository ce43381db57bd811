"""Groups of rows by pane and keys, made by numpy at the places of arrays."""
