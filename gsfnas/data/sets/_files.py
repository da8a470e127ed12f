"""Data sets on disk: their annotations read, their files looked at, their splits completed and opened.

What is the same for all of them; a reader a data set makes a manifest of its annotations.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gsfnas.data._manifest import EMPTY, Entry, Manifest, Problem, empty_classes, hold_out, real
from gsfnas.data._settings import SPLITS, DataSettings
from gsfnas.data.sets._flip_labels import flip_labels
from gsfnas.data.sets._table import read_table
from gsfnas.data.sets.diving48 import read_diving48
from gsfnas.data.sets.epic_kitchens_100 import read_epic_kitchens_100
from gsfnas.data.sets.folder import read_folder
from gsfnas.data.sets.kinetics400 import read_kinetics400
from gsfnas.data.sets.something_something import read_something_v1, read_something_v2
from gsfnas.data.twins._actions import CLASSES
from gsfnas.data.video._augment import centre_crop
from gsfnas.data.video._cache import cache_folder, expanded
from gsfnas.data.video._clip_reader import Clip, open_split
from gsfnas.data.video._clips import Clips, ClipSplit, Labels, VideoData
from gsfnas.data.video._frames import RGB
from gsfnas.data.video._probe import FileInfo, OnProgress, frame_index, in_threads, probe_files
from gsfnas.data.video._sampling import segment_frames
from gsfnas.errors import UserError, unknown
from gsfnas.escape import printable

_READERS: Mapping[str, Callable[[Path], Manifest]] = {
    "something_v1": read_something_v1,
    "something_v2": read_something_v2,
    "kinetics400": read_kinetics400,
    "diving48": read_diving48,
    "epic_kitchens_100": read_epic_kitchens_100,
}
# Of what the files hold, in the set's folder of the cache.
INDEX = "index.json"
# What the layout calls the frames of a clip, where it is not as most do.
_FRAMES: Mapping[str, tuple[str, ...]] = {"something_v1": ("*", *RGB), "something_v2": ("*", *RGB)}
# So many clips of a class a preview tries before it leaves the class out.
_TRIES = 3


def open_files(settings: DataSettings, on_progress: OnProgress = lambda done, total: None) -> VideoData:
    """The clips under ``settings.root``.

    Every file is looked at, once (what was seen is remembered in the cache); ``on_progress(done, total)`` counts them. Raises
    UserError, one line, for a root or annotations that cannot be used, and for the first clip that cannot be unless
    ``skip_broken`` or an earlier check has named it.
    """
    root, home = places(settings)
    manifest = read_manifest(settings)
    problems = [problem for problem in manifest.problems if problem.kind != EMPTY]
    if problems and not settings.skip_broken:
        raise UserError(f"{problem_line(problems[0], root)}; mend it, or leave out such clips with data.skip_broken=true")
    files = probe_manifest(settings, manifest, on_progress=on_progress)
    # These go to records and reports, which name no folder of the machine.
    skipped = [problem_line(problem) for problem in problems]
    clips: dict[str, list[Clip]] = {split: [] for split in SPLITS}
    for split, found in clips.items():
        for entry, seen in files[split]:
            window = seen.window(entry)
            if window.broken is None:
                found.append(_clip(root, home, _frame_names(settings), entry, seen))
            elif settings.skip_broken or window.is_checked:
                skipped.append(printable(f"{entry.path}: {window.broken}"))
            else:
                raise UserError(
                    f"{root / entry.path} cannot be decoded: {window.broken}; mend it, or leave out such files with "
                    "data.skip_broken=true"
                )
        if not found:
            raise UserError(f"no clip in {split} of {root} can be decoded ({len(skipped)} clips were left out)")
    mirrors = _flip_labels_of(manifest.tasks, settings)
    notes = []
    if empty := empty_classes(manifest.tasks, [clip.labels for clip in clips["train"]]):
        task, name = empty[0]
        more = f" and {len(empty) - 1} more" if len(empty) > 1 else ""
        notes.append(printable(f"without a clip in train: {task} {name!r}{more}"))
    splits: dict[str, ClipSplit] = {}
    for split in SPLITS:
        labels = {
            task: np.array([clip.labels[place] for clip in clips[split]], dtype=np.int64)
            for place, task in enumerate(manifest.tasks)
        }
        opened = open_split(split, clips[split], labels, home, settings, notes)
        splits[split] = replace(opened, mirror=mirrors, policy=settings.policy, workers=settings.workers)
    contents = {split: [(clip.labels, clip.digest, *clip.window) for clip in found] for split, found in clips.items()}
    cut = [settings.frames, settings.resolution, settings.side, *_augmented(settings, mirrors)]
    fingerprint = f"{settings.name}-{_hash(json.dumps([manifest.tasks, cut, contents]))}"
    return VideoData(settings.name, manifest.tasks, splits, fingerprint, tuple(skipped), tuple(notes))


def first_clips(settings: DataSettings, split: str, count: int, segments: Labels) -> tuple[list[str], Clips, dict[str, int]]:
    """(names, (B, T, 3, R, R), clips of each split): of each of the first ``count`` classes of a split one clip that opens.

    Of its frames those in the middle of ``segments`` (T,), which rise. Only these clips are looked at, so that it takes seconds
    on any set. Raises UserError as ``open_files``, and for an unknown split.
    """
    root, home = places(settings)
    manifest = read_manifest(settings)
    if split not in manifest.splits:
        raise unknown("split", split, manifest.splits)
    # Of several tasks the first, which is the one that a study searches for.
    names = next(iter(manifest.tasks.values()))
    members: dict[int, list[Entry]] = {}
    for entry in manifest.splits[split]:
        members.setdefault(entry.labels[0], []).append(entry)
    labels = sorted(members)[:count]
    clips: dict[int, Clip] = {}
    for attempt in range(_TRIES):
        entries = [members[label][attempt] for label in labels if label not in clips and attempt < len(members[label])]
        for entry, seen in _probe_entries(settings, entries):
            if seen.window(entry).broken is None:
                clips[entry.labels[0]] = _clip(root, home, _frame_names(settings), entry, seen)
    if not clips:
        raise UserError(f"no clip in {split} of {root} can be decoded; gsfnas data check says why")

    def read(label: int) -> Clips:
        clip = clips[label]
        frames = segment_frames(clip.frames, settings.frames, 1)[segments, 0]
        return centre_crop(clip.decode(frames.tolist(), settings.side), settings.side, settings.resolution)

    shown = sorted(clips)
    counts = {name: len(found) for name, found in manifest.splits.items()}
    return [names[label] for label in shown], np.stack(list(in_threads(read, shown))), counts


def problem_line(problem: Problem, root: Path | None = None) -> str:
    """A problem as one line: where it is, below the root or, with ``root``, on the machine, and what."""
    place = str(root / problem.path) if root is not None and problem.path else problem.path or problem.id
    return printable(f"{place}: {problem.message}")


def places(settings: DataSettings) -> tuple[Path, Path]:
    """The root, and the folder in the cache that belongs to it. Raises UserError for the home of a user that is none."""
    assert settings.root is not None
    root = expanded("data.root", settings.root).absolute()
    return root, cache_folder(settings.cache) / settings.name / _hash(str(real(root)))


def probe_manifest(
    settings: DataSettings,
    manifest: Manifest,
    *,
    checks: bool = False,
    on_progress: OnProgress = lambda done, total: None,
) -> dict[str, list[tuple[Entry, FileInfo]]]:
    """Split -> its clips, each with what its file holds; a clip whose file cannot be used is taken from another one of its."""
    entries = [entry for split in SPLITS for entry in manifest.splits[split]]
    seen = iter(_probe_entries(settings, entries, checks=checks, on_progress=on_progress))
    return {split: [next(seen) for _ in manifest.splits[split]] for split in SPLITS}


def _probe_entries(
    settings: DataSettings,
    entries: Sequence[Entry],
    *,
    checks: bool = False,
    on_progress: OnProgress = lambda done, total: None,
) -> list[tuple[Entry, FileInfo]]:
    root, home = places(settings)
    names = _frame_names(settings)
    infos = probe_files(root, entries, home / INDEX, names=names, checks=checks, on_progress=on_progress)

    def is_broken(entry: Entry) -> bool:
        return infos[entry.path].window(entry).broken is not None

    tried = list(entries)
    while again := [place for place, entry in enumerate(tried) if entry.spare and is_broken(entry)]:
        for place in again:
            tried[place] = replace(tried[place], path=tried[place].spare[0], spare=tried[place].spare[1:])
        paths = {tried[place].path for place in again}
        infos |= probe_files(root, [entry for entry in tried if entry.path in paths], home / INDEX, names=names, checks=checks)
    # Where none is any better it is the first that is named.
    chosen = [entry if is_broken(other) else other for entry, other in zip(entries, tried, strict=True)]
    return [(entry, infos[entry.path]) for entry in chosen]


def read_manifest(settings: DataSettings) -> Manifest:
    """What the annotations say, with all three splits. Raises UserError where they cannot be used."""
    root, home = places(settings)
    if settings.name == "folder" and settings.csv is None:
        return read_folder(root, home, settings)
    if settings.name == "folder":
        assert settings.csv is not None
        manifest = read_table(root, root / expanded("data.csv", settings.csv))
    else:
        manifest = _READERS[settings.name](root)
    splits = dict(manifest.splits)
    for split, share in (("test", settings.test_share), ("val", settings.val_share)):
        if split not in splits:
            splits["train"], splits[split] = hold_out(splits["train"], share, settings.seed)
    for split in SPLITS:
        if not splits[split]:
            raise UserError(f"{root} has no clip for {split}: {_why_empty(manifest)}")
    return Manifest(manifest.tasks, splits, manifest.problems)


def _why_empty(manifest: Manifest) -> str:
    if not manifest.problems:
        return "a split needs at least three clips of a class"
    return f"{len(manifest.problems)} clips cannot be used, the first of them since {manifest.problems[0].message}"


def _frame_names(settings: DataSettings) -> tuple[str, ...]:
    return (settings.frame_names,) if settings.frame_names is not None else _FRAMES.get(settings.name, RGB)


def _clip(root: Path, home: Path, names: tuple[str, ...], entry: Entry, seen: FileInfo) -> Clip:
    window = seen.window(entry)
    is_part = entry.start is not None
    index = frame_index(home / INDEX, seen.digest) if is_part or seen.note else None
    return Clip(root / entry.path, entry.labels, window.first, window.stop - window.first, seen.digest, index, names, is_part)


def _flip_labels_of(tasks: Mapping[str, Sequence[str]], settings: DataSettings) -> Mapping[str, Labels] | None:
    """Each task's classes of mirrored clips; None where the rule gives none to one of them."""
    rule = settings.flip
    if rule == "auto" and len(tasks) > 1 and any(set(classes) == set(CLASSES) for classes in tasks.values()):
        # Twins as a data set of several tasks: a verb that is mirrored makes another action, whose name no rule knows.
        return None
    found = {task: flip_labels(classes, rule, settings.name) for task, classes in tasks.items()}
    known = {task: mirror for task, mirror in found.items() if mirror is not None}
    return known if len(known) == len(found) else None


def _augmented(settings: DataSettings, mirrors: Mapping[str, Labels] | None) -> list[object]:
    """All that training does to a clip."""
    classes = None if mirrors is None else {task: mirror.tolist() for task, mirror in mirrors.items()}
    return [settings.augment, settings.policy, classes]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
