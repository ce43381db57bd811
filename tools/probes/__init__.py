"""Which lines and branches tests reach, noted by the code itself: a tracer halves the speed of Python.

Before a run, `instrument` puts a probe before each statement of `arrowstream`: one store into memory that all
processes share. `start/sitecustomize.py` lets each of them import the modules with their probes. After the run,
`arcs` turns what was noted into what coverage.py's tracer would have noted, and coverage.py reports. What it requires
and no probe can say counts as missed.
"""
