"""Synthetic gait: deterministic from a seed, physically plausible, and always called synthetic."""
