"""What `gsfnas data` does with a data set: check it, export it, show it."""
