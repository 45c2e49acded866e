"""The paper, reproduced: sweeps and suites write CSV files, and a report is made of those files alone."""
