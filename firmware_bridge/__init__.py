"""From sensor bytes to aligned samples."""
