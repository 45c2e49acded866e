"""All that hangs on the loaded model."""
