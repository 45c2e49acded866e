"""What the system's scheduler is told about this process's threads, and about the processes that it starts."""
