"""Actions at work: a plan is run over a Parquet file, in bounded memory, and gives another one.

Rows stream through what looks at one row at a time; what needs the whole table is DuckDB's, on files, within a memory
limit and spilling to disk. Runs in the sandbox: local files in, local files and a report out.
"""
