"""A study as the tables and the methods paragraph of a paper."""
