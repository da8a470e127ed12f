"""Finds, decodes, samples, augments, caches and batches the frames of video files and image folders."""
