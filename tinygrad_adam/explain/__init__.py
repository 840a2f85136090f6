"""What a training step did, shown: for those who learn how it works, and those whose network does not."""
