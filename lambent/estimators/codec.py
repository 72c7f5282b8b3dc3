"""Codec: a trained model compresses data without loss, into an archive that decodes on any machine."""

import os
from pathlib import Path
from typing import Any, BinaryIO

from lambent.codec import lookup
from lambent.codec.described import Described, described
from lambent.codec.extracting import Extracted, Reading, decompress, in_memory
from lambent.codec.files import Made, Options, compress
from lambent.disk.modelfile import model_path
from lambent.errors import UsageError
from lambent.fitted import Fitted, load
from lambent.progress import shown
from lambent.training.precision import device_of


class Codec:
    """Compresses pictures and arrays by a trained model, by bits-back coding with whole numbers alone: about −ELBO bits a row.

    Args:
        model: a run's folder or a model file, or what holds a trained model (Fitted, LatentModel, a fitted VAE). None: only to
            decompress archives that carry their model, or whose model is known on this machine.
        device: where the networks run; the bytes are the same everywhere.
        threads: blocks that are coded at a time.
        verbose: show progress on standard error.

    Attributes: `sizes`, what the last archive that was written or read by `compress` or `info` holds, in bytes and items.
    """

    def __init__(self, model: Any = None, *, device: str = "cpu", threads: int = 1, verbose: bool = False) -> None:
        self.path = model_path(Path(model)) if isinstance(model, (str, os.PathLike)) else None
        self.fitted = None if model is None else load(self.path) if self.path is not None else Fitted.of(model)
        self.device = device
        self.threads = threads
        self.verbose = verbose
        self.sizes: Described | None = None

    def compress(
        self,
        data: Any,
        path: str | os.PathLike[str],
        *,
        with_model: bool = False,
        verify: bool = True,
        append: bool = False,
        weight_bits: int | None = None,
        quality: int | None = None,
    ) -> Made:
        """Data (a folder or a file of pictures, a .npy, .npz or IDX file, an array) into an archive at `path`.

        with_model: the model travels inside. verify: each block is decoded before it is written. append: behind what is there.
        weight_bits: kept of each weight's fraction; None: 10, of a table's 4, where the model travels inside, else 16.
        quality: 1 … 100 of pictures, lossy, by a model with a Uniform posterior; None: without loss.
        Errors: `DataError` for data of another kind than the model's, `UsageError` for a model without an exact form.
        """
        if self.fitted is None:
            raise UsageError("compress needs a trained model: Codec(run_or_model)")
        options = Options(with_model, verify, append, threads=self.threads, weight_bits=weight_bits, quality=quality)
        with shown(self.verbose):
            made = compress(self.fitted, data, Path(path), options, device_of(self.device))
        if self.path is not None:
            lookup.remembered(made.archive.header["model"], self.path)
        self.sizes = made.archive
        return made

    def decompress(
        self,
        path: str | os.PathLike[str] | BinaryIO,
        out: str | os.PathLike[str] | None = None,
        *,
        salvage: bool = False,
        force: bool = False,
    ) -> Any:
        """What an archive holds: into the folder or the file `out`; without it in memory.

        In memory: an array, arrays by name for an .npz, or for pictures by name arrays [H, W] or [H, W, bands], and the bytes of
        other files. Errors: `ArtifactError` for damage or another model, `MachineError` where this machine computes differently.
        """
        source = Path(path) if isinstance(path, (str, os.PathLike)) else path
        if not isinstance(source, Path) and not hasattr(source, "read"):
            raise UsageError(f"decompress takes an archive's path, or an open binary file, not a {type(path).__name__}")
        how = Reading(self.fitted, "this Codec's model", salvage, device_of(self.device), self.threads)
        with shown(self.verbose):
            if out is None:
                return in_memory(source, how)[1]
            found: Extracted = decompress(source, Path(out), how, force)
        return found

    def info(self, path: str | os.PathLike[str]) -> Described:
        """What an archive says of itself, without its model."""
        self.sizes = described(Path(path))
        return self.sizes
