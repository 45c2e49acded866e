"""The stress suite: what disturbed photographs and wrong boxes cost, and what clicks buy back."""
