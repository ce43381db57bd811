"""The live page: what a run does, in a browser, and in a cell of a notebook."""
