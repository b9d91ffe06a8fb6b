"""Sections that show test images, and which class is taken for which."""
