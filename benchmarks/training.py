"""Images per second of training, with the input pipeline and on one cached batch: the pipeline must not be what limits.

python -m benchmarks.training --data DIR [--network cnn ...]      # the options of train.fit; two minutes
"""

import sys
import time
from collections.abc import Callable

from skinapp.photo.preprocess import to_pixels
from train.dataset import load_dataset, split_lesions
from train.fit import parser, settings_from
from train.network.trainer import Trainer, at_size

STEPS = 20
ROUNDS = 3  # in turns, because the machine's speed drifts


def main() -> int:
    options = parser().parse_args()
    settings = settings_from(options)
    dataset = load_dataset(
        options.data, lambda image: to_pixels(image, settings.intermediate, settings.resampling)
    )
    split = split_lesions(dataset.records)
    trainer = Trainer(settings, dataset.part(split, "train"), at_size(dataset.part(split, "tune"), settings))
    batches = iter(trainer.batches(0))
    cached = next(batches)
    trainer.step(*cached)  # traces

    def speed(step: Callable[[], object]) -> float:
        started = time.perf_counter()
        for _ in range(STEPS):
            step()
        return STEPS * settings.batch / (time.perf_counter() - started)

    rounds = [
        (speed(lambda: trainer.step(*next(batches))), speed(lambda: trainer.step(*cached)))
        for _ in range(ROUNDS)
    ]
    fitted, bare = (sorted(column)[ROUNDS // 2] for column in zip(*rounds, strict=True))
    print(
        f"{options.network}: {fitted:.1f} images/s with the pipeline, {bare:.1f} on one cached batch: {fitted / bare:.0%}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
