"""Speed, side by side in one run: ratios, never timed tests."""
