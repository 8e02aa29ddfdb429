"""C99 kernels and the assembly of the cores, as data: ``quantization.c_emitter`` copies those that a model uses."""
