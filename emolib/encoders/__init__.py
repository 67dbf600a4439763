"""The frozen encoders, CLIP and Wav2Vec 2.0, and where their weights are."""
