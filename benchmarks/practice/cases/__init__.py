"""The cases, one or a few of a kind in a file; a new one is listed below."""

from benchmarks.practice.case import Case
from benchmarks.practice.cases import (
    adversarial,
    digits,
    fashion,
    lstm,
    regression,
    segmentation,
    transfer,
    transformer,
    variational,
)

CASES: dict[str, Case] = {
    case.name: case
    for case in (
        digits.CASE,
        *fashion.CASES,
        lstm.CASE,
        transformer.CASE,
        regression.CASE,
        transfer.CASE,
        variational.CASE,
        adversarial.CASE,
        segmentation.CASE,
    )
}
