"""From a command's words to the planned runs of a study. Never imports torch."""
