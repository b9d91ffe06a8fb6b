"""What else could change the answers: runs that stand out or did not finish, other test images, guessing."""
