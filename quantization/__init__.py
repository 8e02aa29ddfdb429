"""From a checkpoint to a validated int8 bundle."""
