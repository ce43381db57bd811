"""Sources that listen on a TCP address, and sinks that connect to one."""
