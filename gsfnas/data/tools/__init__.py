"""The commands of `gsfnas data`: check, export and preview a data set."""
