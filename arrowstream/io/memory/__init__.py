"""Sources and sinks in this process: frames, channels, functions."""
