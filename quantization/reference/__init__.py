"""The specification of integer inference, executable: every op of the op set in numpy (docs/INTEGER.md)."""

from quantization.reference.integer_graph import Interpreter

__all__ = ["Interpreter"]
