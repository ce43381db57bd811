"""The execution of plans: this layer awaits, measures time and counts."""
