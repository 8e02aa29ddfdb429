"""Learning: a network is fitted to recordings, compared, adapted to a person, explained, made smaller.

``train`` is the way in. Everything here may need torch, and imports it inside the functions and modules that do.
"""
