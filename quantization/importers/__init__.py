"""Networks that somebody else wrote and trained: read, proved in numpy, lowered to the graph form (docs/IMPORT.md)."""
