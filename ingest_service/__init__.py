"""The front door: takes uploads, tells how their jobs fare, serves reads of clean data."""
