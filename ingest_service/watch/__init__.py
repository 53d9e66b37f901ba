"""The watch hub: one LISTEN session and one re-read serve every WatchStatus stream of this process."""
