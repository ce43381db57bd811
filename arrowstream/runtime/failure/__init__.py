"""Failures of steps, sources and sinks: handlers and time limits at work, and clean-up."""
