"""Runs that others trained: a table, or the folders of their jobs, as a study for the report."""
