"""From a calibrated float graph to an integer graph: ranges, recipe, weight rounding, search."""
