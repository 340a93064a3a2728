"""Audio-video language representations in JAX: search video by voice."""
