"""Message formats: how messages become rows, and rows messages."""
