"""The feature store, and the one way from clips to what the model takes."""
