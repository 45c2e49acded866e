"""The mixture over exemplars: moments, kernels, calibration, displacement, pose."""
