"""The exception tree. Every error that a user can cause derives from `OwsegError`.

    OwsegError                    one clear line: what is wrong, and the remedy
    ├── UsageError                an option or argument that makes no sense
    ├── MissingDependencyError    an optional package is not installed
    ├── OutputError               a place that cannot be written
    ├── MissedLimitError          a result that is worse than was allowed; exit code 1
    ├── HostError                 the middleware: cannot start, or nobody answers
    ├── InputError                something that was given to read
    │   ├── BagError              a recording: missing, truncated, without images
    │   ├── ImageError            one image or image message: encoding, step, size
    │   ├── DatasetError          a data-set folder: missing or unpaired files
    │   ├── TruthError            ground truth: other size, unknown ids
    │   └── ShotError             an example of a new class: mask, polygon, cluster
    ├── PrototypeError            a class that does not fit: name, slots, vectors
    │   └── StoreError            a prototype store: damaged, newer, of another network
    └── ModelError
        ├── BundleError           a model file: not ONNX, no manifest, mismatch
        └── EngineError           a runtime that cannot load or run the graph

The command line prints the message without a traceback and exits with
`exit_code`.
"""

from __future__ import annotations


class OwsegError(Exception):
    """Base of all errors that the user can mend; the message names thing and remedy."""

    exit_code = 2


class UsageError(OwsegError):
    """An option, argument or parameter value that makes no sense."""


class MissingDependencyError(OwsegError):
    """An optional package is needed and not installed; the message says how to install it."""


class OutputError(OwsegError):
    """An output file or folder that cannot be created or written."""


class MissedLimitError(OwsegError):
    """A result that is worse than was allowed: all was well but the figures."""

    exit_code = 1


class HostError(OwsegError):
    """A middleware that cannot start or send, or a service that does not answer."""


class InputError(OwsegError):
    """Something given to be read cannot be used."""


class BagError(InputError):
    """A recording that is missing, damaged, empty or has no usable image topic."""


class ImageError(InputError):
    """An image or image message with an unknown encoding, wrong step or wrong size."""


class DatasetError(InputError):
    """A data-set folder with missing, unpaired or unreadable files."""


class TruthError(InputError):
    """Ground truth of another size than the image, or with ids that no map explains."""


class ShotError(InputError):
    """An example of a new class with an unusable mask: other size, empty, or too small."""


class PrototypeError(OwsegError):
    """A novel class that does not fit: bad or double name, no free slot, NaN or odd vectors."""


class StoreError(PrototypeError):
    """A prototype store that is damaged, of a newer schema, read-only, or of another network."""


class ModelError(OwsegError):
    """A model that cannot be used."""


class BundleError(ModelError):
    """A bundle that is not ONNX, lacks its manifest, or does not match it."""


class EngineError(ModelError):
    """A runtime that cannot load or run a graph."""
