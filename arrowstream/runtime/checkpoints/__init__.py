"""Checkpoints while a run goes on: the coordinator, the snapshots of steps, and the alignment of side outputs."""
