"""Reads prepared records, and checks them."""
