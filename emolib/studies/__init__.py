"""Ablations, claims, baselines and the submission."""
