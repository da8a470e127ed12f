"""Data sets on disk, a file each: annotations as they are distributed, read into a manifest of clips."""
