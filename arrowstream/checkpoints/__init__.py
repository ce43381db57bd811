"""Checkpoints on disk: a folder with manifests, the state of steps, and what a restart does with them."""
