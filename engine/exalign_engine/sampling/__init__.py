"""Training and test crops: augmentation, turned faces, corruptions. Without torch."""
