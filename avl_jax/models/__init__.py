"""Networks that map clips into the common embedding space."""
