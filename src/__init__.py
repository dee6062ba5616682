"""AIGC Lab: a laboratory for generative models."""
