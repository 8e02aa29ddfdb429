"""A board that runs the model: firmware, boards, build, emulator, the link to it."""
