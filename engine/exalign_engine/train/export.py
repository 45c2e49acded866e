"""Export: a trained network → one self-contained ONNX file."""

from __future__ import annotations

import copy
import logging
import warnings
from pathlib import Path

import onnx
import torch

from exalign_engine.train.network import ExemplarNetwork, SecondLook, ShardedHead

#: Outputs of the exported graph, in order.
OUTPUTS = ("scores", "embedding", "features", "local")

#: Largest batch that the exported graph admits.
MAX_BATCH = 64


def export_network(network: ExemplarNetwork, input_size: int, path: Path, looks: int = 1) -> None:
    """Write the network as ONNX.

    Input ``image`` (B, S, S, 3) uint8 RGB with B from 1 to `MAX_BATCH`; outputs `OUTPUTS`, float32; the
    normalisation is in the graph. Equal weights give equal bytes: node metadata, which carries absolute
    source paths, is removed.

    Args:
        network: in evaluation mode.
        input_size: S.
        path: file to write.
        looks: see `exalign_engine.train.config.ExportConfig`.
    """
    network = copy.deepcopy(network).eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    if isinstance(network.head, ShardedHead):
        network.head = network.head.whole()
    module = SecondLook(network) if looks == 2 else network
    # Two rows: with one, the exporter would take the batch for a constant.
    example = torch.zeros((2, input_size, input_size, 3), dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=MAX_BATCH)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            (example,),
            input_names=["image"],
            output_names=list(OUTPUTS),
            dynamic_shapes={"image": {0: batch}},
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    model = program.model_proto
    _strip(model)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _strip(model: onnx.ModelProto) -> None:
    """Remove names of source files and everything else that says where the graph was made."""
    del model.metadata_props[:]
    model.doc_string = ""
    model.producer_name, model.producer_version = "exalign", ""
    graph = model.graph
    del graph.metadata_props[:]
    graph.doc_string = ""
    for item in [*graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output]:
        item.doc_string = ""
        if hasattr(item, "metadata_props"):
            del item.metadata_props[:]
    for function in model.functions:
        raise RuntimeError(f"the exported graph calls a function ({function.name}); it should be flat")
