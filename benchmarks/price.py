"""How many candidates are priced a second, beside building and counting each with fvcore, in one run on one core.

python benchmarks/price.py --backbone micro --resolution 32
python benchmarks/price.py --backbone resnet50 --resolution 224 --space mixed
"""

import argparse
import random
import statistics
import time

import torch

from gsfnas.backbone import backbone_ref, backbone_sites
from gsfnas.config import load_space
from gsfnas.cost import Pricer, count_fvcore
from gsfnas.model import build_model, counting_form
from gsfnas.space import Space


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="micro")
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--candidates", type=int, default=20_000)
    parser.add_argument("--space", help="a space of gsfnas by name; default: GSF on three shares of the channels")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    backbone = backbone_ref(arguments.backbone, {})
    ratios = [0.25, 0.5, 1.0]
    gsf = Space("benchmark", tuple({"module": "gsf", "ratio": ratio} for ratio in ratios))
    space = (load_space(arguments.space) if arguments.space else gsf).bind(
        backbone,
        backbone_sites(backbone, arguments.resolution),
        frames=arguments.frames,
        resolution=arguments.resolution,
    )
    generator = random.Random(0)
    candidates = [space.sample(generator) for _ in range(arguments.candidates)]
    pricer = Pricer(backbone, arguments.frames, arguments.resolution, {"class": 24})

    # Modules without a closed form are counted once for each site.
    for candidate in candidates:
        pricer(candidate)
    priced, counted = [], []
    clip = torch.zeros(1, arguments.frames, 3, arguments.resolution, arguments.resolution)
    for repeat in range(5):
        start = time.perf_counter()
        for candidate in candidates:
            pricer(candidate)
        priced.append(len(candidates) / (time.perf_counter() - start))
        start = time.perf_counter()
        count_fvcore(counting_form(build_model(candidates[repeat], {"class": 24})), clip)
        counted.append(1 / (time.perf_counter() - start))
    print(f"{backbone}, {len(space.sites)} sites: {statistics.median(priced):,.0f} candidates a second priced,")
    ratio = statistics.median(priced) / statistics.median(counted)
    print(f"{statistics.median(counted):.2f} built and counted with fvcore: a ratio of {ratio:,.0f}")


if __name__ == "__main__":
    main()
