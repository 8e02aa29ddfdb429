"""One file a command; each is a thin wrapper around one public function."""
