"""An example policy service for hookgate."""

import os

# Before grpc is imported, which reads it then: gRPC's core has lines of its own for an address that is in use, and this
# program says it in one sentence. GRPC_VERBOSITY=error shows them.
os.environ.setdefault("GRPC_VERBOSITY", "none")
