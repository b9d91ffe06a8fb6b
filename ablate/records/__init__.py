"""The files that a study leaves behind: where they are, how they are written, read and checked."""
