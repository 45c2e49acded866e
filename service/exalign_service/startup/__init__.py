"""What happens before anything heavy is loaded: signals, ports, and what is wrong at first sight."""
