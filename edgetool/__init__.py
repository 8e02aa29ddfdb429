"""The face: the command line, and one public function for each command."""
