"""Accuracy, latency and size of every engine on every target, in one report."""
