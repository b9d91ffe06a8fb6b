"""From a command's sweeps to factors, which designs combine: conditions, what moves together, what is not read."""
