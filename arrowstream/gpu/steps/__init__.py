"""What steps ask of rows on the device: their groups, and what a table has for them."""
