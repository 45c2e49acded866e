"""HTTP and JSON in front of an Exalign server: `exalign-gateway`, or `gateway` for an ASGI server of your own."""

from exalign_gateway.app import gateway
from exalign_gateway.bodies import Bounds

__all__ = ["Bounds", "gateway"]
