"""How long one clip of Twins takes to render on one core: the median over several rounds, all actions mixed.

python benchmarks/render_twins.py --resolution 32 --frames 8
"""

import argparse
import statistics
import time

from gsfnas.data.twins._actions import ACTIONS
from gsfnas.data.twins._render import render


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--difficulty", type=float, default=0.4)
    parser.add_argument("--clips", type=int, default=600, help="clips a round")
    arguments = parser.parse_args()

    def render_one(index: int) -> None:
        render(
            "train",
            index,
            index % len(ACTIONS),
            seed=0,
            frames=arguments.frames,
            resolution=arguments.resolution,
            difficulty=arguments.difficulty,
        )

    render_one(0)
    rounds = []
    for _ in range(5):
        start = time.process_time()
        for index in range(arguments.clips):
            render_one(index)
        rounds.append((time.process_time() - start) / arguments.clips * 1e3)
    print(f"{statistics.median(rounds):.3f} ms a clip ({min(rounds):.3f} to {max(rounds):.3f} over {len(rounds)} rounds)")


if __name__ == "__main__":
    main()
