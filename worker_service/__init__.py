"""The mill: claims jobs, runs them in isolation, and commits what they made under the fence of their lease."""

import os

# gRPC reads this at import. Its fork handlers are for children that go on using it; ours become other programs.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
