"""The checks of `build()`, before data moves."""
