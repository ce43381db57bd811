"""What `build()` checks before data moves."""
