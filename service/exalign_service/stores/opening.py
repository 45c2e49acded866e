"""The store of sessions that a configuration names."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from exalign_service.config.schema import ServerConfig
from exalign_service.config.stores import BEFORE
from exalign_service.observability.store_metrics import StoreMetrics
from exalign_service.rpc.clock import Clock
from exalign_service.stores.checkpoints import OUTCOMES
from exalign_service.stores.link import RedisLink
from exalign_service.stores.shared_store import SharedStore
from exalign_service.track.store import MemoryStore


def open_store(
    config: ServerConfig, local: MemoryStore, registry: CollectorRegistry, clock: Clock
) -> MemoryStore | SharedStore:
    """The sessions of a server.

    Args:
        config: of the server.
        local: those of this process.
        registry: of the server's metrics.
        clock: of the server's time limits.

    Returns:
        ``local``, or what writes them to a store as well.

    Raises:
        StartError: the extra is missing, or a file cannot be read.
    """
    stores = config.stores
    if stores.store is None:
        return local
    return SharedStore(
        local,
        RedisLink(stores),
        prefix=stores.prefix,
        retention=config.sessions.session_retention,
        before=stores.durability == BEFORE,
        every=stores.checkpoint_frames,
        interval=stores.checkpoint_interval,
        max_bytes=stores.max_stored_bytes,
        observer=StoreMetrics(registry, OUTCOMES),
        clock=clock,
    )
