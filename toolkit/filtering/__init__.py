"""Causal filters with carried state, specified as data."""
