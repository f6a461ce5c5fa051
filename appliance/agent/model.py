"""A bundle's folder to a decoder that is ready to read."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from appliance import __version__
from appliance.agent import propose
from appliance.inference.bundle import MANIFEST, Bundle, load_bundle
from appliance.inference.decoder import Decoder
from appliance.inference.encoding import Encoder
from appliance.inference.interpreter import Interpreter, Runtime
from appliance.inference.tokenizer import WordPiece


class Model(NamedTuple):
    """A loaded bundle."""

    decoder: propose.Decoder
    bundle: Bundle
    sha256: str
    """Of the manifest, which holds the hash of every other file."""

    runtime: str


def load(folder: Path, *, runtime: str = "auto", threads_n: int = 1) -> Model:
    """Check the bundle in *folder* and make it ready.

    Raises:
        BundleError: missing, altered, made for another version, or no runtime can run it here.
    """
    bundle = load_bundle(folder, __version__)
    shape = bundle.manifest.network
    interpreter = Interpreter(bundle.network, shape, runtime=Runtime(runtime), threads_n=threads_n)
    encoder = Encoder(WordPiece.read(bundle.vocabulary), shape.max_tokens)
    digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    info = interpreter.info
    return Model(
        decoder=Decoder(encoder, interpreter, bundle.manifest.calibration),
        bundle=bundle,
        sha256=digest,
        runtime=f"{info.runtime.value} {info.version}",
    )
