"""What Label Studio's labels mean: those of a project, and those that a person has drawn."""
