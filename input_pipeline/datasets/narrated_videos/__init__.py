"""Narrated videos made of stamps: a miniature of HowTo100M and YouCook2."""
