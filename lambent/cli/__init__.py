"""The command line, `lambent VERB …`. Nothing heavy is imported before a verb needs it."""

from lambent.cli.program import main

__all__ = ["main"]
