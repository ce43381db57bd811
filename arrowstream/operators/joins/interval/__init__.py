"""Joins of two streams within a time: the rows held, by key and time, their partners, and what comes out."""
