"""Virtual sensor nodes: what they play, the clocks they keep, and the faults of the link they speak over."""
