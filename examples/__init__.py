"""Programs and data that show Tablemill at work."""
