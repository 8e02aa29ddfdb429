"""Calibrating a session with its sensors: what a person is asked to do, and whether it was done."""
