"""How a pipeline that is built runs, and how its steps are looked at."""
