"""Keyed state: key index, columns by slot, row logs, memory limit, spill files, snapshots."""
