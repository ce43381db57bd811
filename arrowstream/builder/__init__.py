"""The builder's methods: steps by subject, source and sink.

Methods import large operators themselves, to keep ``import arrowstream`` fast.
"""
