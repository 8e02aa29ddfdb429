"""Learning, shown and judged: pages of training, and networks compared on people whom they never saw."""
