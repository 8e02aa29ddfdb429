"""What is measured: windows, accuracy, gait cycles, latency."""
