"""Joins: tables that rows are looked up in."""
