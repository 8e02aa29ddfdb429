"""What runs a bundle where the sensors are: engines, and the pipeline around them (docs/RUNTIME.md)."""
