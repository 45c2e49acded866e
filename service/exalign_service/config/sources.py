"""Where the server's settings come from: see `exalign_engine.settings.schema`.

``max_batch`` is ``--max-batch``, ``EXALIGN_MAX_BATCH`` and, in the file, ``max_batch`` under ``[batching]``. Nothing
else in the server reads the environment.
"""

from __future__ import annotations

from exalign_engine.settings import Schema
from exalign_service.config.schema import ServerConfig

#: Every setting of the server; `Schema.load` puts a configuration together.
SCHEMA = Schema(ServerConfig, prefix="EXALIGN_", renamed={"workers": "network_calls"})
