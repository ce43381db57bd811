"""The bytes of messages as arrays: their places, integers of variable length, and bytes joined row by row."""
