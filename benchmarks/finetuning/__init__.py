"""Fine-tuning measured on collections that were held out of training."""
