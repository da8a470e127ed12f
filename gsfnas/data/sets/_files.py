"""Data sets on disk: completes their splits, probes their files and opens their clips.

Each data set lists its clips as a manifest; everything else is shared by all of them and implemented here.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gsfnas import component
from gsfnas.data._manifest import EMPTY, Entry, Manifest, Problem, empty_classes, hold_out, real, why_refused
from gsfnas.data._settings import SPLITS, DataSettings
from gsfnas.data.sets._annotations import check_classes, check_root
from gsfnas.data.sets._flip_labels import flip_labels
from gsfnas.data.sets._listed import Row, manifest_of
from gsfnas.data.sets.base import LabelledClip
from gsfnas.data.twins._classes import find_pairs
from gsfnas.data.video._augment import centre_crop
from gsfnas.data.video._cache import cache_folder, expanded
from gsfnas.data.video._clip_reader import Clip, open_split
from gsfnas.data.video._clips import Clips, ClipSplit, Labels, VideoData
from gsfnas.data.video._frames import RGB
from gsfnas.data.video._probe import FileInfo, OnProgress, frame_index, in_threads, probe_files
from gsfnas.data.video._sampling import segment_frames
from gsfnas.errors import UserError, shown, unknown
from gsfnas.escape import printable

# The file with the results of probing, in the data set's cache folder.
INDEX = "index.json"
# The number of clips per class that a preview tries before leaving the class out.
_TRIES = 3


class FileSet:
    """A data set of video files or folders of images under ``data.root``.

    A new data set derives from this class and implements ``clips``. One that has several tasks, or that needs other checks of
    its annotations, overrides ``read`` instead.
    """

    #: Patterns of the frames in a folder that also has other images; ``*`` is a number.
    frame_names: Sequence[str] = RGB
    #: The mirror rule for ``data.flip=auto``: ``none``, ``plain`` or ``left_right``.
    flip: str = "none"
    #: Class names in order; None means the sorted classes of train.
    classes: Sequence[str] | None = None

    def clips(self, root: Path) -> Iterable[LabelledClip]:
        """Every clip below ``root``, with its class. If val or test has no clip, that split is drawn from train."""
        raise NotImplementedError(f"{type(self).__qualname__} must have a method `clips(root)` or `read(root, settings)`")

    def read(self, root: Path, settings: DataSettings) -> Manifest:
        """The clips of each split and the problems found, without opening a clip.

        Raises UserError for unusable annotations.
        """
        check_root(root)
        rows = []
        for clip in self.clips(root):
            _check_clip(clip)
            is_half = (clip.start_s is None) != (clip.stop_s is None)
            rows.append(Row(clip, "of start_s and stop_s there must be both or none" if is_half else ""))
        if not rows:
            raise UserError(f"data set {type(self).__qualname__!r} lists no clip under {root}")
        return manifest_of(root, type(self).__qualname__, rows, "a clip needs `fps`, its frames a second", self.classes)

    def tasks(self, settings: DataSettings) -> Mapping[str, tuple[str, ...]]:
        """Task -> class names, from the annotations alone. Raises UserError if they are unusable."""
        return read_manifest(self, settings).tasks

    def open(self, settings: DataSettings, on_progress: OnProgress = lambda done, total: None) -> VideoData:
        """Opens all clips that can be decoded. Raises UserError as ``open_files`` does."""
        return open_files(self, settings, on_progress)


def open_files(data_set: FileSet, settings: DataSettings, on_progress: OnProgress = lambda done, total: None) -> VideoData:
    """Opens the clips under ``settings.root``.

    Every file is probed once, and the result is cached; ``on_progress(done, total)`` counts files. Raises UserError for an
    unusable root or unusable annotations, and, unless ``skip_broken`` is set, for the first problem in the annotations or the
    first broken file that ``data check`` has not reported.
    """
    root, home = places(settings)
    manifest = read_manifest(data_set, settings)
    problems = [problem for problem in manifest.problems if problem.kind != EMPTY]
    if problems and not settings.skip_broken:
        raise UserError(f"{problem_line(problems[0], root)}; fix it, or leave out such clips with data.skip_broken=true")
    files = probe_manifest(data_set, settings, manifest, on_progress=on_progress)
    # Without the root: these go into records and reports, which must not contain absolute paths.
    skipped = [problem_line(problem) for problem in problems]
    clips: dict[str, list[Clip]] = {split: [] for split in SPLITS}
    for split, found in clips.items():
        for entry, seen in files[split]:
            window = seen.window(entry)
            if window.broken is None:
                found.append(_clip(root, home, _frame_names(data_set, settings), entry, seen))
            elif settings.skip_broken or window.is_checked:
                skipped.append(printable(f"{entry.path}: {window.broken}"))
            else:
                raise UserError(
                    f"{root / entry.path} cannot be decoded: {window.broken}; fix it, or leave out such files with "
                    "data.skip_broken=true"
                )
        if not found:
            raise UserError(f"no clip in {split} of {root} can be decoded ({len(skipped)} clips were left out)")
    mirrors = _flip_labels_of(manifest.tasks, settings.flip, data_set.flip)
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


def first_clips(
    data_set: FileSet, settings: DataSettings, split: str, count: int, segments: Labels
) -> tuple[list[str], Clips, dict[str, int]]:
    """Reads one decodable clip of each of the first ``count`` classes of a split.

    Returns (class names, clips (B, T, 3, R, R), split -> number of clips). The frames are the middle ones of ``segments``, (T,)
    increasing segment indices. Few clips are opened, so that this takes seconds on any data set. Raises UserError for an
    unknown split, for unusable annotations, and if no clip can be decoded.
    """
    root, home = places(settings)
    manifest = read_manifest(data_set, settings)
    if split not in manifest.splits:
        raise unknown("split", split, manifest.splits)
    # The first of several tasks is the main one.
    names = next(iter(manifest.tasks.values()))
    members: dict[int, list[Entry]] = {}
    for entry in manifest.splits[split]:
        members.setdefault(entry.labels[0], []).append(entry)
    labels = sorted(members)[:count]
    clips: dict[int, Clip] = {}
    for attempt in range(_TRIES):
        entries = [members[label][attempt] for label in labels if label not in clips and attempt < len(members[label])]
        for entry, seen in _probe_entries(data_set, settings, entries):
            if seen.window(entry).broken is None:
                clips[entry.labels[0]] = _clip(root, home, _frame_names(data_set, settings), entry, seen)
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
    """Formats a problem as one line of path and message; the path is relative to the root, or absolute if ``root`` is given."""
    place = str(root / problem.path) if root is not None and problem.path else problem.path or problem.id
    return printable(f"{place}: {problem.message}")


def places(settings: DataSettings) -> tuple[Path, Path]:
    """The root and its cache folder. Raises UserError without ``data.root``, and for ``~user`` with an unknown user."""
    if not settings.root:
        raise UserError(f"data set {settings.name!r} needs `data.root`, the folder with its clips")
    root = expanded("data.root", settings.root).absolute()
    return root, cache_folder(settings.cache) / settings.name.replace(":", ".") / _hash(str(real(root)))


def probe_manifest(
    data_set: FileSet,
    settings: DataSettings,
    manifest: Manifest,
    *,
    checks: bool = False,
    on_progress: OnProgress = lambda done, total: None,
) -> dict[str, list[tuple[Entry, FileInfo]]]:
    """Probes all files: split -> (clip, file info) pairs. If a file is broken, a spare one of the same clip is used."""
    entries = [entry for split in SPLITS for entry in manifest.splits[split]]
    seen = iter(_probe_entries(data_set, settings, entries, checks=checks, on_progress=on_progress))
    return {split: [next(seen) for _ in manifest.splits[split]] for split in SPLITS}


def _probe_entries(
    data_set: FileSet,
    settings: DataSettings,
    entries: Sequence[Entry],
    *,
    checks: bool = False,
    on_progress: OnProgress = lambda done, total: None,
) -> list[tuple[Entry, FileInfo]]:
    root, home = places(settings)
    names = _frame_names(data_set, settings)
    infos = probe_files(root, entries, home / INDEX, names=names, checks=checks, on_progress=on_progress)

    def is_broken(entry: Entry) -> bool:
        return infos[entry.path].window(entry).broken is not None

    tried = list(entries)
    while again := [place for place, entry in enumerate(tried) if entry.spare and is_broken(entry)]:
        for place in again:
            tried[place] = replace(tried[place], path=tried[place].spare[0], spare=tried[place].spare[1:])
        paths = {tried[place].path for place in again}
        infos |= probe_files(root, [entry for entry in tried if entry.path in paths], home / INDEX, names=names, checks=checks)
    # If all files of a clip are broken, the first one is reported.
    chosen = [entry if is_broken(other) else other for entry, other in zip(entries, tried, strict=True)]
    return [(entry, infos[entry.path]) for entry in chosen]


def read_manifest(data_set: FileSet, settings: DataSettings) -> Manifest:
    """Reads the manifest and draws the splits that it lacks. Raises UserError for unusable annotations or an empty split."""
    root, _ = places(settings)
    try:
        manifest = data_set.read(root, settings)
    except UserError:
        raise
    except Exception as error:
        if not component.is_outside(settings.name):
            raise
        raise UserError(f"data set {settings.name!r} cannot list its clips ({component.where(error)})") from error
    if component.is_outside(settings.name):
        _check_manifest(settings.name, manifest)
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


def _check_clip(clip: object) -> None:
    if not isinstance(clip, LabelledClip):
        raise UserError(f"`clips` must give values of LabelledClip, but one is {shown(clip)}")
    for name in ("path", "label", "split"):
        if not isinstance(getattr(clip, name), str):
            raise UserError(f"`{name}` of a clip must be a string, but got {shown(getattr(clip, name))}")
    for name in ("start_s", "stop_s", "fps"):
        number = getattr(clip, name)
        if number is not None and (not isinstance(number, int | float) or number != number):
            raise UserError(f"`{name}` of the clip {clip.path!r} must be a number, but got {shown(number)}")


def _check_manifest(name: str, manifest: object) -> None:
    """Checks the manifest of a user's data set. Raises UserError for an invalid task, split, label or path."""

    def wrong(what: str) -> UserError:
        return UserError(f"the manifest of data set {name!r} {what}")

    if not isinstance(manifest, Manifest):
        raise wrong(f"must be a Manifest, but is {shown(manifest)}")
    if not manifest.tasks:
        raise wrong("has no task; it needs at least one, as {'class': names}")
    if "train" not in manifest.splits or not set(manifest.splits) <= set(SPLITS):
        raise wrong(f"has the splits {', '.join(manifest.splits) or 'none'}; it needs train, and may have val and test")
    counts = [len(check_classes(f"task {task!r} of {name}", names)) for task, names in manifest.tasks.items()]
    for entry in (entry for entries in manifest.splits.values() for entry in entries):
        if len(entry.labels) != len(counts):
            raise wrong(f"gives the clip {entry.id!r} {len(entry.labels)} labels for {len(counts)} tasks")
        for label, (task, count) in zip(entry.labels, zip(manifest.tasks, counts, strict=True), strict=True):
            if not isinstance(label, int) or not 0 <= label < count:
                raise wrong(f"gives the clip {entry.id!r} the {task} {shown(label)}, which must be from 0 to {count - 1}")
        if reason := why_refused(entry.path):
            raise wrong(f"has the clip {entry.id!r}, whose path cannot be used: {reason}")


def _frame_names(data_set: FileSet, settings: DataSettings) -> tuple[str, ...]:
    names = data_set.frame_names if settings.frame_names is None else settings.frame_names
    return (names,) if isinstance(names, str) else tuple(names)


def _clip(root: Path, home: Path, names: tuple[str, ...], entry: Entry, seen: FileInfo) -> Clip:
    window = seen.window(entry)
    is_part = entry.start is not None
    index = frame_index(home / INDEX, seen.digest) if is_part or seen.note else None
    return Clip(root / entry.path, entry.labels, window.first, window.stop - window.first, seen.digest, index, names, is_part)


def _flip_labels_of(tasks: Mapping[str, Sequence[str]], rule: str, own: str) -> Mapping[str, Labels] | None:
    """The classes of mirrored clips by task; None if any task has none, since then no clip can be mirrored."""
    if rule == "auto" and len(tasks) > 1 and any(find_pairs(classes) is not None for classes in tasks.values()):
        # Twins as one of several tasks: a mirrored verb gives a different action, whose name no rule knows.
        return None
    found = {task: flip_labels(classes, rule, own) for task, classes in tasks.items()}
    known = {task: mirror for task, mirror in found.items() if mirror is not None}
    return known if len(known) == len(found) else None


def _augmented(settings: DataSettings, mirrors: Mapping[str, Labels] | None) -> list[object]:
    """All settings that change the augmentation of a clip."""
    classes = None if mirrors is None else {task: mirror.tolist() for task, mirror in mirrors.items()}
    return [settings.augment, settings.policy, classes]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
