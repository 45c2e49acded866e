"""What is wrong with the files about access, before the model is loaded; each is one line."""

from __future__ import annotations

from exalign_service.config.access import AccessConfig
from exalign_service.config.start_checks import StartError


def check_access(config: AccessConfig) -> None:
    """Read every file that the settings name.

    Raises:
        StartError: one cannot be used.
    """
    if config.tls:
        from exalign_service.access.certificates import read_certificates  # gRPC, only where it is wanted

        read_certificates(config)
    if config.resume_keys is not None:
        from exalign_service.access.resume_keys import read_resume_keys

        read_resume_keys(config.resume_keys)
    if config.token_file is not None:
        from exalign_service.access.static_tokens import read_tokens

        read_tokens(config.token_file)
    if config.token_jwks is not None:
        try:
            from exalign_service.access.jwt_tokens import read_jwks
        except ModuleNotFoundError as e:
            raise StartError(str(e)) from e

        read_jwks(config.token_jwks, config.token_audience or "", config.token_issuer)
