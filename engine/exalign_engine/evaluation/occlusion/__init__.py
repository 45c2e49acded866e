"""The occlusion suite: which landmarks are hidden, behind occluders of kinds that nothing was taught."""
