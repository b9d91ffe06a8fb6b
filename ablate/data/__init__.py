"""Images, from files to uint8 arrays."""
