"""Visual encoders: images or clips to feature vectors."""
