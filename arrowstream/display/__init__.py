"""HTML for notebooks: what a builder, a pipeline, a source, a sink, a report or an error shows in a cell.

Nothing here is imported before something is shown, and nothing here runs a pipeline or opens a connection.
"""
