"""What can be wrong with a network's graph."""

from __future__ import annotations

from exalign_engine.errors import ExalignError


class GraphError(ExalignError):
    """A network's file cannot be rewritten.

    Args:
        where: the node or tensor.
        problem: one sentence.
    """

    def __init__(self, where: str, problem: str) -> None:
        self.where, self.problem = where, problem
        super().__init__(f"network, {where}: {problem}")
