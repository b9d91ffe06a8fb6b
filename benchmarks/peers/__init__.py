"""What people train with today, each written as its own documentation would have it."""
