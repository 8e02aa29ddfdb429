"""The Cross-LSTM: config, network, checkpoint file, training."""
