"""What is wrong with the files about access, before the model is loaded; each is one line."""

from __future__ import annotations

from exalign_service.config.access import AccessConfig


def check_access(config: AccessConfig) -> None:
    """Read every file that the settings name.

    Raises:
        StartError: one cannot be used.
    """
    if config.tls:
        from exalign_service.access.certificates import read_certificates  # gRPC, only where it is wanted

        read_certificates(config)
