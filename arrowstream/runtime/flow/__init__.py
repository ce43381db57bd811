"""The flow of elements from stage to stage: ports, routers, and places where streams meet."""
