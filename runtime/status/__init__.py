"""What the daemon shows: status, histograms, metrics, the health of the Raspberry Pi."""
