"""Sources and sinks in this process: frames, channels and functions."""
