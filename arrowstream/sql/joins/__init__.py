"""JOIN: its conditions, and the step that it becomes."""
