"""A user's own video, to one row a frame."""
