"""From packets to aligned rows: clocks, alignment, sessions."""
