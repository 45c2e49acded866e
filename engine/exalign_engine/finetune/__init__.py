"""Fine-tuning: a bundle fitted further to sixty faces of its user's, without those that trained it."""
