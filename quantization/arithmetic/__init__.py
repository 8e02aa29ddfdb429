"""Integer arithmetic shared by all ops: fixed point, gemmlowp, affine parameters, storage."""
