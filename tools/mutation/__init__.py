"""Mutation testing: does a test notice when a line of arrowstream says something else?"""
