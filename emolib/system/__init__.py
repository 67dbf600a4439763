"""Files, processes, device, disk, provenance: what knows nothing of emotions."""
