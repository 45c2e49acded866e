"""What streams cost: server CPU a tracked frame, LIVE streams, fairness among sessions; beside another tree."""
