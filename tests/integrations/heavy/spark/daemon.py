"""What Spark forks its Python processes from: what they need is loaded once, and not in each."""

import pandas as pd  # noqa: F401
import pyarrow as pa  # noqa: F401
import pyspark.sql.worker.plan_data_source_read
import pyspark.sql.worker.write_into_data_source
import pyspark.worker  # noqa: F401
from pyspark.daemon import manager

import asynctensor.integrations.spark  # noqa: F401

if __name__ == "__main__":
    manager()
