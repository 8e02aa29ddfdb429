"""The specification of integer inference, executable: every op of the op set in numpy (docs/INTEGER.md)."""
