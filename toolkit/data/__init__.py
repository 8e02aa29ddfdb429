"""Recordings: readers, the synthetic gait, the virtual IMU, splits and windows."""
