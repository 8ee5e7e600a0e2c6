"""Four devices, as JAX calls parts of a processor that are told apart."""

import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
