"""JSON objects of plain columns, read by one compiled loop."""
