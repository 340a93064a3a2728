"""Networks that embed clips into a common space."""
