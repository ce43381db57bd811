"""Running a plan: the only place that awaits, times and counts."""
