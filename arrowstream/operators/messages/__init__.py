"""The step between a source of messages and the rest: messages become rows."""
