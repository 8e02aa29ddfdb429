"""The .tflite file: reading, writing, limits, its contract, and running it with LiteRT."""
