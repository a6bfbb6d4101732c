"""How often the test set was looked at with FuzzyHess: once for each version of it.

A version is a pair of hashes, of the default constants and of the code. Versions are
noted in a file beside the runs, which stays when runs are deleted.
"""

import json
from pathlib import Path

from benchmarks.provenance import fingerprint
from benchmarks.results import Results

FILE = "looks.json"

Version = tuple[str, str]
"""Hashes of constants and code."""


def recorded(results: Results) -> set[Version]:
    """Versions of FuzzyHess in the runs."""
    return {
        (record["constants"], record["code"])
        for record in results.runs.values()
        if "constants" in record
    }


def noted(folder: Path) -> set[Version]:
    """Versions that were noted."""
    path = folder / FILE
    if not path.exists():
        return set()
    return {(constants, code) for constants, code in json.loads(path.read_text())}


def looks(results: Results) -> set[Version]:
    """All versions with which FuzzyHess was run, whether its runs are kept or not."""
    return recorded(results) | noted(results.folder)


def note(results: Results) -> None:
    """Writes them to a file that stays when runs are deleted."""
    known = looks(results)
    if known != noted(results.folder):
        (results.folder / FILE).write_text(json.dumps(sorted(known), indent=1) + "\n")


def warning(results: Results) -> str | None:
    """What to do where runs are of another FuzzyHess than this one, or None."""
    now = fingerprint()
    versions = recorded(results)
    others = versions - {(now["constants"], now["code"])}
    if not others:
        return None
    is_same = all(constants == now["constants"] for constants, _ in others)
    changed = "code" if is_same else "default constants"
    return (
        f"Runs of FuzzyHess in {results.folder} were made with other {changed}: they "
        "are kept, and what is missing would be run with those of now. Delete the "
        "lines of FuzzyHess there (not those of others). Whatever you do, choose "
        "nothing by what this set says: "
        f"it has been looked at with {len(looks(results))} version(s) so far."
    )
