"""What a part is worth, measured on small latent benchmarks that hold what the part needs."""
