"""Measurements, each a command that prints a table; with --json FILE it also writes what it measured."""
