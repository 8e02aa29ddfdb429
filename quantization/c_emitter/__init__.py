"""Generates the C source of a model: header, source, the kernels it uses, build files and self-test."""
