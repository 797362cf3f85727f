"""Stores what a network says of a drawn picture beside its weights, so that a start can tell whether it still does.

python -m train.known_answer [--model DIR]     # every folder in model/, or one
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from skinapp.network import known_answer
from skinapp.network.classifier import load
from skinapp.network.folders import MODELS
from train.commands import in_one_sentence


@in_one_sentence
def main(arguments: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(prog="python -m train.known_answer", description=__doc__)
    parser.add_argument("--model", type=Path, help="a model folder; by default every one in model/")
    given = parser.parse_args(arguments)
    folders = [given.model] if given.model else sorted(path.parent for path in MODELS.glob("*/skinapp.json"))
    for folder in folders:
        print(known_answer.write(load(folder)))


if __name__ == "__main__":
    sys.exit(main())
