"""What was run: the commit, and FuzzyHess's constants and code as short hashes."""

import ast
import functools
import hashlib
import json
import subprocess
from pathlib import Path

import keras_fuzzyhess
from keras_fuzzyhess import FuzzyHess

PACKAGE = Path(keras_fuzzyhess.__file__).parent


@functools.cache
def commit() -> str:
    """That of the clone, with `-dirty` where the package has changed since."""
    head = _git("rev-parse", "HEAD")
    if not head:
        return "unknown"
    changed = _git("status", "--porcelain", "--", ".")
    return f"{head}-dirty" if changed else head


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(PACKAGE), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


@functools.cache
def fingerprint() -> dict[str, str]:
    """Of FuzzyHess's default constants, and of the package's code."""
    constants = json.dumps(FuzzyHess().get_config(), sort_keys=True)
    code = "\n".join(
        without_words(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))
    )
    return {"constants": _hash(constants), "code": _hash(code)}


def without_words(source: str) -> str:
    """What Python reads but for docstrings: comments and line breaks change nothing."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            body[:] = [line for line in body if not _is_words(line)]
    return repr(_plain(tree))


def _plain(node: object) -> object:
    """A tree without what differs between versions of Python."""
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node))
        given = [(n, _plain(v)) for n, v in fields if v is not None and v != []]
        return type(node).__name__, *given
    return [_plain(each) for each in node] if isinstance(node, list) else repr(node)


def _is_words(line: ast.AST) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
