"""One op a file: its integer arithmetic, its float form and its C."""
