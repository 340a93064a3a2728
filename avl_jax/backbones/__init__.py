"""Visual encoders in Flax: images or clips to feature vectors."""
