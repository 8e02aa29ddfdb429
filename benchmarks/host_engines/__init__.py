"""The engines of ``benchmarks.engines``, one module each."""
