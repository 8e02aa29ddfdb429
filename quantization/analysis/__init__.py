"""Where accuracy is lost and what is in a file."""
