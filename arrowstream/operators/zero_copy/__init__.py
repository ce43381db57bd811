"""Writable numpy views of a batch's columns."""
