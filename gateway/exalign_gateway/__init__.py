"""HTTP and JSON in front of an Exalign server: `exalign-gateway`, or `gateway` for an ASGI server of your own."""

from exalign_gateway.app import Bounds, gateway

__all__ = ["Bounds", "gateway"]
