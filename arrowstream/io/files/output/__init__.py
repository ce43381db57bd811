"""Frames into the bytes of files: a queue, encoders on threads, and files that keep what the disk refused."""
