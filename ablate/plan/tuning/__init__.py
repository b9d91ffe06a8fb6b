"""What is chosen before it is compared: the values tried for tuned keys, their runs, and the choice."""
