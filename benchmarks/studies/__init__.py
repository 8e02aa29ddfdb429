"""Measurements of the project's own speed and losses; not part of an installation."""
