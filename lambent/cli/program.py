"""main: find the verb, run it, and turn whatever goes wrong into one line and an exit status."""

import importlib
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from lambent.cli.voice import line
from lambent.disk.whole import explained
from lambent.errors import InterruptedRun, LambentError, MachineError, UsageError, nearest
from lambent.progress import Display, watched
from lambent.version import __version__

VERBS = {
    "train": ("train", "train a model: DATA --out RUN"),
    "compare": ("compare", "autoencoder, VAE, GAN and both on the same data: DATA --out DIR"),
    "refine": ("refine", "fit another prior to a trained model, as a new run: RUN --prior Diffusion"),
    "evaluate": ("measure", "bounds, KL and active units of a trained model, each with its standard error"),
    "diagnose": (
        "diagnose",
        "why a run has collapsed or failed, shown by numbers, and the flags that cure it: RUN [--cure]",
    ),
    "sample": ("draw", "draw new rows; of tables under conditions"),
    "reconstruct": ("make", "rows through the code and back"),
    "interpolate": ("make", "walk from one row to another through their codes"),
    "traverse": ("make", "move one unit, or principal direction, of a row's code at a time"),
    "restyle": ("restyle", "pictures in another style, named or like others: RUN IMAGES --to twitter --out DIR"),
    "predict": ("ask", "a column of a table given any others, or a condition"),
    "impute": ("ask", "fill the gaps of a table, each given all that is there"),
    "invert": ("inverted", "codes of rows by optimization, for models without an encoder or closer ones"),
    "embed": ("measure", "codes of rows"),
    "probe": ("probe", "what a plain reader learns from codes, beside rows, PCA, an autoencoder: RUN DATA --label L"),
    "cluster": ("cluster", "the clusters that rows lie in, their decoded centres, and how they agree with labels"),
    "score": ("measure", "log-probability bounds row by row, for anomaly detection"),
    "detect": ("detect", "which rows are odd, how sure that is, and why: RUN DATA, or DATA to train on first"),
    "disentangle": ("disentangle", "whether units keep known factors apart: RUN DATA --factors NAMES"),
    "compress": ("compress", "data into a small archive without loss: RUN DATA -o FILE.lam, or DATA --train"),
    "decompress": ("compress", "an archive back into its folder or file: FILE.lam -o DIR"),
    "map": ("mapped", "the codes as one page to look at and to walk in: RUN DATA --out FILE.html"),
    "report": ("show", "rebuild the HTML report of a run"),
    "info": ("show", "what a model file or an archive holds"),
    "parts": ("listing", "every part with its fields: the flags of train"),
    "data": ("catalogue", "data sets known by name; of a file, what train would read"),
    "doctor": ("doctor", "check this machine"),
}
# For GNU's OpenMP and for Intel's; the first is the standard's own word, by which GNU's alone would still spin a little.
WAITING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
USAGE = "usage: lambent VERB … (lambent VERB --help for each)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status.

    0 done, 1 a fault of Lambent, 2 usage, 3 data, 4 a model file or run folder, 5 the machine, 130 Ctrl-C, 143 SIGTERM.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments[: arguments.index("--") if "--" in arguments else None]
    _lenient_output()
    _wait_passively()
    with warnings.catch_warnings(), _ending_on_sigterm(), _threads_put_back():
        if not debug and not sys.warnoptions:
            warnings.simplefilter("ignore")
        status = _guarded(arguments, debug)
        return _flushed(status)


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        _help()
        return 0 if arguments else 2
    verb, *rest = arguments
    if verb in ("--version", "-V"):
        print(f"lambent {__version__}")
        return 0
    if verb not in VERBS:
        what = "flag" if verb.startswith("-") else "verb"
        raise UsageError(f"no {what} is called {verb!r}; {nearest(verb, [*VERBS, '--help', '--version', '-V'])}")
    module = importlib.import_module(f"lambent.cli.verbs.{VERBS[verb][0]}")
    with watched(Display()):
        status: int = getattr(module, verb)(rest)
    return status


def _help() -> None:
    print(f"{USAGE}\n\nTrain variational autoencoders, and put them to use.\n\nverbs:")
    for verb, (_, summary) in VERBS.items():
        print(f"  {verb:12} {summary}")
    print("\n  -V, --version    print the version\n\nTo begin: lambent train fashion --out runs/first --epochs 20")


def _guarded(arguments: list[str], debug: bool) -> int:
    """The exit status, after a single line on standard error for whatever went wrong."""
    try:
        return _run(arguments)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    except BrokenPipeError:
        return _closed()
    except InterruptedRun as stopped:
        _complain(f"lambent: {stopped}", False)
        return stopped.exit_status
    except KeyboardInterrupt:
        _complain("lambent: interrupted", False)
        return 130
    except LambentError as error:
        _complain(f"lambent: error: {error}", debug)
        return error.exit_status
    except Exception as error:
        status, text = _explained(error)
        _complain(f"lambent: error: {text}", debug)
        return status


def _explained(error: Exception) -> tuple[int, str]:
    """Status and words for an error that no part of Lambent raised itself."""
    words = (str(error).splitlines() or [""])[0]
    memory = type(error).__name__ == "OutOfMemoryError" or any(
        sign in words for sign in ("not enough memory", "can't allocate memory", "out of memory", "invalid buffer size")
    )
    if isinstance(error, MemoryError) or memory:
        advice = "take a smaller batch, network or latent, fewer samples, or fewer rows"
        return MachineError.exit_status, f"memory ran out ({words[:200]}): {advice}"
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return MachineError.exit_status, f"{place}{explained(error)}"
    return 1, f"{type(error).__name__}: {words[:300]} (a fault of Lambent's own; --debug shows where)"


def _complain(text: str, debug: bool) -> None:
    with suppress(OSError, ValueError):
        if debug:
            traceback.print_exc()
        print(line(text), file=sys.stderr, flush=True)


def _flushed(status: int) -> int:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _closed()
    except (OSError, ValueError) as error:
        _complain(f"lambent: error: cannot write the output: {error}", False)
        return MachineError.exit_status
    return status


def _closed() -> int:
    """The reader of our output has gone, as `head` does: no complaint, and none from Python at its end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + 13


def _lenient_output() -> None:
    """Names of files may hold what the terminal's encoding cannot say, and either stream may be closed: no reason to fail."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _wait_passively() -> None:
    """Threads that wait for one another sleep: where they spin, a core that others use makes steps twenty times slower.

    OpenMP reads this when torch is loaded. Where the user has said anything of it, that stands.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in WAITING):
        os.environ.update(WAITING)


@contextmanager
def _threads_put_back() -> Iterator[None]:
    """A program that calls `main` and has loaded torch keeps its number of threads."""
    torch = sys.modules.get("torch")
    before = None if torch is None else torch.get_num_threads()
    try:
        yield
    finally:
        if torch is not None and torch.get_num_threads() != before:
            torch.set_num_threads(before)


@contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """SIGTERM ends the command as Ctrl-C does, so that nothing half-written stays; training has its own way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise InterruptedRun("stopped by SIGTERM", 143)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
