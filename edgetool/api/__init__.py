"""One function for each command, with the command's own options; :mod:`edgetool` gives them all by name."""
