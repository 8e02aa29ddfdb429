"""The specification of integer inference, executable: every op of the op set in numpy (docs/INTEGER.md)."""

from quantization.integer_reference.interpreter import Interpreter

__all__ = ["Interpreter"]
