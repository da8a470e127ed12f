"""Clips decoded a second, 8 frames of 40 each at 320 x 240, one process: gsfnas beside plain PyAV and OpenCV.

One clip after another, where other readers' decoders may use idle cores; and several at once on all cores, as a loader reads.

python benchmarks/decode.py
OpenCV is not needed for gsfnas; to compare with it: pip install opencv-python-headless
"""

import argparse
import functools
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
from _measure import Parser, positive, print_wide, run
from rich.table import Table

from gsfnas.data.video._decode import decode
from gsfnas.study import num_cores

CODECS = {"webm": ("libvpx-vp9", {"crf": "32", "b": "0", "cpu-used": "4"}), "mp4": ("libx264", {})}
FRAMES, HEIGHT, WIDTH = 40, 240, 320
WANTED = [2, 7, 12, 17, 22, 27, 32, 37]

Reader = Callable[[Path, Sequence[int]], np.ndarray]


def moving_scene(seed: int) -> np.ndarray:
    """(FRAMES, HEIGHT, WIDTH, 3) uint8: a texture that a camera passes over, a second one in front of it, and noise.

    The textures' spectrum falls with the frequency, as that of photographs does.
    """
    generator = np.random.default_rng(seed)
    height, width = 2 * HEIGHT, 2 * WIDTH
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])[..., None]
    spectrum = np.fft.rfft2(generator.normal(size=(height, width, 3)), axes=(0, 1)) / (frequency + 1 / width) ** 1.2
    texture = np.fft.irfft2(spectrum, s=(height, width), axes=(0, 1))
    texture = (texture - texture.min()) / np.ptp(texture) * 255
    front = np.roll(texture, (HEIGHT // 2, WIDTH // 3), (0, 1))[: HEIGHT // 3, : WIDTH // 4, ::-1]
    frames = []
    for time_step in range(FRAMES):
        top, left = round(HEIGHT / 4 * (1 + np.sin(time_step / 9))), round(WIDTH / 4 * (1 + np.cos(time_step / 7)))
        frame = texture[top : top + HEIGHT, left : left + WIDTH].copy()
        top = round((HEIGHT - HEIGHT // 3) * (1 + np.sin(time_step / 5)) / 2)
        left = round((WIDTH - WIDTH // 4) * (1 + np.cos(time_step / 6)) / 2)
        frame[top : top + HEIGHT // 3, left : left + WIDTH // 4] = front
        frames.append(frame + generator.normal(0, 3, (HEIGHT, WIDTH, 1)))
    return np.clip(frames, 0, 255).astype(np.uint8)


def write(path: Path, frames: np.ndarray) -> None:
    """With the encoder's own distance between key frames."""
    codec, options = CODECS[path.suffix[1:]]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=12, options=options)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def plain_pyav(thread_type: str | None) -> Reader:
    """Every frame decoded from the first one on, the wanted ones turned into arrays."""

    def read(path: Path, indices: Sequence[int]) -> np.ndarray:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            if thread_type is not None:
                stream.thread_type = thread_type
            frames = enumerate(container.decode(stream))
            return np.stack([frame.to_ndarray(format="rgb24") for number, frame in frames if number in indices])

    return read


def opencv(path: Path, indices: Sequence[int]) -> np.ndarray:
    """Every frame grabbed up to the last wanted one, the wanted ones retrieved; BGR."""
    import cv2

    capture = cv2.VideoCapture(str(path))
    images = []
    for number in range(indices[-1] + 1):
        capture.grab()
        if number in indices:
            images.append(capture.retrieve()[1])
    capture.release()
    return np.stack(images)


def main() -> bool:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=positive, default=40, help="of one clip with each reader; two more warm up")
    parser.add_argument("--clips", type=positive, default=4, help="different ones of each format, in turn")
    arguments = parser.parse_args()

    readers: dict[str, Reader] = {
        "gsfnas": decode,
        "PyAV": plain_pyav(None),
        "PyAV, thread_type AUTO": plain_pyav("AUTO"),
    }
    try:
        import cv2  # noqa: F401
    except ImportError:
        print("OpenCV is left out: it is not installed (pip install opencv-python-headless)")
    else:
        readers["OpenCV"] = opencv

    table = Table(title=f"{len(WANTED)} of {FRAMES} frames, {WIDTH} x {HEIGHT}", title_justify="left", title_style="")
    for name in ("format", "at once", "reader", "clips a second", "ms a clip", "x gsfnas", "CPU ms a clip"):
        table.add_column(name, justify="left" if name in ("format", "reader") else "right", no_wrap=True)
    with tempfile.TemporaryDirectory() as folder:
        for suffix in CODECS:
            paths = [Path(folder) / f"{clip}.{suffix}" for clip in range(arguments.clips)]
            for seed, path in enumerate(paths):
                write(path, moving_scene(seed))
            for at_once in sorted({1, num_cores()}):
                wall_ms, cpu_ms = time_readers(readers, paths, arguments.rounds, at_once)
                ours = statistics.median(wall_ms["gsfnas"])
                for name in readers:
                    wall, cpu = statistics.median(wall_ms[name]), statistics.median(cpu_ms[name])
                    cells = (f"{1e3 / wall:.1f}", f"{wall:.2f}", f"{wall / ours:.2f}", f"{cpu:.2f}")
                    table.add_row(suffix, str(at_once), name, *cells)
    print_wide(table)
    return False


def time_readers(
    readers: dict[str, Reader], paths: Sequence[Path], rounds: int, at_once: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Wall-clock and processor time a clip of each reader in each round; the readers take turns, another one first each time.

    A round is one clip, or with several at once by as many threads four for each.
    """
    number = 1 if at_once == 1 else 4 * at_once
    pool = ThreadPoolExecutor(at_once)
    wall_ms: dict[str, list[float]] = {name: [] for name in readers}
    cpu_ms: dict[str, list[float]] = {name: [] for name in readers}
    names = list(readers)
    for turn in range(-2, rounds):
        chosen = [paths[(turn + place) % len(paths)] for place in range(number)]
        for place in range(len(names)):
            name = names[(turn + place) % len(names)]
            wall, cpu = time.perf_counter(), time.process_time()
            read = functools.partial(readers[name], indices=WANTED)
            clips = [read(path) for path in chosen] if at_once == 1 else list(pool.map(read, chosen))
            took = (time.perf_counter() - wall) / number, (time.process_time() - cpu) / number
            assert all(images.shape == (len(WANTED), HEIGHT, WIDTH, 3) for images in clips)
            if turn >= 0:
                wall_ms[name].append(took[0] * 1e3)
                cpu_ms[name].append(took[1] * 1e3)
    pool.shutdown()
    return wall_ms, cpu_ms


if __name__ == "__main__":
    raise SystemExit(run(main))
