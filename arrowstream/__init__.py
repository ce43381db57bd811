"""arrowstream: a streaming engine for people who work with dataframes."""
