"""What the daemon says of itself: journal lines, state changes, faults, systemd's notifications."""
