"""Models that never saw one collection, and folders of faces in the prepared format."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from exalign_engine.bundle.bundle import Bundle, seal, sha256
from exalign_engine.bundle.moments_file import write_moments
from exalign_engine.calibration.calibrate import fit_mixture, measure_moments
from exalign_engine.calibration.heads import score_faces
from exalign_engine.data.prepared import PreparedFaces
from exalign_engine.finetune.run import residual_of
from exalign_engine.runtime import create_runtime
from exalign_engine.sampling.augment import Augmenter
from exalign_engine.sampling.augment_config import AugmentConfig
from exalign_engine.sampling.faces import FaceMemory, load_faces

U8 = NDArray[np.uint8]

CONFIG = Path(__file__).with_name("base.toml")

#: Crops that every base sees.
SAMPLES = 43_050


def faces_of(data: Path, split: str, collections: Sequence[str]) -> FaceMemory:
    """The faces of a split that are of some collections."""
    source = PreparedFaces(data, split)
    memory = load_faces(source)
    return part(memory, [i for i, origin in enumerate(source.origins) if origin in collections])


def part(faces: FaceMemory, rows: Sequence[int]) -> FaceMemory:
    """Some faces."""
    return FaceMemory([faces.images[i] for i in rows], faces.landmarks[rows], [faces.ids[i] for i in rows])


def changed(faces: FaceMemory, change: Callable[[U8, np.random.Generator], U8], seed: int) -> FaceMemory:
    """The same faces in other pictures."""
    images = [change(image, np.random.default_rng([seed, i])) for i, image in enumerate(faces.images)]
    return replace(faces, images=images)


def write_prepared(folder: Path, faces: FaceMemory, split: str = "train") -> None:
    """A folder that the commands take, as a user's would be."""
    folder.mkdir(parents=True)
    streams = [cv2.imencode(".jpg", i[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1].reshape(-1) for i in faces.images]
    offset = np.cumsum([0, *map(len, streams)]).astype(np.int64)
    np.savez(folder / "faces.npz", jpeg=np.concatenate(streams), offset=offset)
    np.save(folder / "landmarks.npy", faces.landmarks.astype(np.float32))
    with (folder / "index.csv").open("w", newline="") as f:
        table = csv.writer(f)
        table.writerow(["id", "source", "split"])
        table.writerows([name, "mine", split] for name in faces.ids)


def base(data: Path, held_out: str, collections: Sequence[str], work: Path, samples: int = SAMPLES) -> Bundle:
    """A bundle trained on all collections but one; taken as it is where it is there.

    Temperature, kernels and moments are those of `calibrate`; presence, detectors, poses and clicks are left neutral,
    for nothing here reads them.

    Args:
        data: all faces.
        held_out: the collection that is left out.
        collections: all of them.
        work: folder for the run, which goes on where it was.
        samples: crops to train on.
    """
    from exalign_engine.train.bundle_export import write_bundle
    from exalign_engine.train.config import TrainConfig
    from exalign_engine.train.loop import Trainer

    out = work / f"without-{held_out}" / "bundle"
    if (out / "moments.npz").is_file():
        return Bundle.load(out)
    others = [name for name in collections if name != held_out]
    train, val = (faces_of(data, split, others) for split in ("train", "val"))
    config = replace(TrainConfig.read(CONFIG), epochs=max(samples // len(train), 1))
    trained = Trainer(config, train, val, out.parent).run()
    shutil.rmtree(out, ignore_errors=True)
    write_bundle(trained, CONFIG, out)
    bundle = Bundle.load(out)
    network = create_runtime("auto", bundle.network, threads=2)
    augmenter = Augmenter(AugmentConfig(), bundle.manifest.input_size, bundle.manifest.margin)
    mixture = fit_mixture(bundle, score_faces(network, val, augmenter))
    mixture.calibration.write(out / "calibration.json")
    seal(out, bundle.manifest)
    bundle = Bundle.load(out)
    moments = measure_moments(bundle, network, residual_of(bundle), train)
    write_moments(out, moments, sha256(out / "residual.npz"))
    return bundle
