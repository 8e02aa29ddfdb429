"""One file a command; each is a thin face of one public function."""
