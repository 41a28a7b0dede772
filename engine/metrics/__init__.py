"""What is measured of the logits."""
