"""Tests, and in `tests.stack` what they run on."""

import os

# Before gRPC is loaded: its fork handlers may crash a child that another thread is about to start, in silence.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
