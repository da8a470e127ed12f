"""Video files and folders of frames: their frames found, decoded, sampled, augmented, cached and handed out in batches."""
