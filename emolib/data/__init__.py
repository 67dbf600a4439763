"""Reading, making, decoding and checking data (floor 1)."""
