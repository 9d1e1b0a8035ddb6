"""The event store's client, and a small event store on the same wire."""

import os

# gRPC's C core writes to standard error past every logging set-up. What matters comes back as an error of a call.
# It reads this once, at its import, which this package comes before.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
