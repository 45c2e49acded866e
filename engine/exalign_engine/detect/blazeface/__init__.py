"""BlazeFace's networks and what surrounds them; ``detect.blazeface_detector`` looks through them."""
