"""Sources and sinks while they run."""
