"""Settings as frozen dataclasses: rules beside the fields; values from flags, environment, a file and defaults."""

from exalign_engine.settings.rules import ConfigError, Family, Problem, Rule, check
from exalign_engine.settings.schema import Loaded, Schema, Setting, read_toml

__all__ = ["ConfigError", "Family", "Loaded", "Problem", "Rule", "Schema", "Setting", "check", "read_toml"]
