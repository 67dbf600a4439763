"""Predictions under both protocols, and metrics with intervals."""
