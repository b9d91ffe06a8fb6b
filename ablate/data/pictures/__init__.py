"""Picture files: what lies in a folder, which of it is used, and what a network sees of it."""
