"""Videos as frames, for the client and for data sets alike. Needs numpy; PyAV or OpenCV where a file is opened."""
