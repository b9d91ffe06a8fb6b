"""How planned runs are trained: on this machine, or as jobs of a cluster."""
