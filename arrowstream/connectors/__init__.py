"""`Source` and `Sink`: the constructors of all connectors."""
