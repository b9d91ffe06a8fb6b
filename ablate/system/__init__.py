"""The machine and the process: signals, progress, cores, GPUs, memory."""
