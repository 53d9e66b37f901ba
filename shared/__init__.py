"""What both services need, and nothing else."""
