"""Reads of clean data, always from the clean Parquet file."""
