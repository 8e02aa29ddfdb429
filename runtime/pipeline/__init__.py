"""From packets to estimates: intake, model input, states, publishing."""
