"""Runs functions on untrusted files in processes of their own: one process a file, limited, with no secrets.

The parent's side is `pool.SandboxPool`; `child` is the program that runs on the other side of two pipes. One JSON
line on stdin is the request. Lines `KIND JSON` come back on a pipe that nothing else writes to: stray output of
native libraries lands in a file of the scratch directory. When stdin closes, or the parent dies, the child dies.

Nothing is imported here: the child would import it too, which costs every file time and memory.
"""
