"""Pass or fail on a target, with evidence."""
