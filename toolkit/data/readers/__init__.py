"""One file format a file; nothing else in the project opens a data file."""
