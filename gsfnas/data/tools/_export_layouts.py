"""The paths and annotations of Twins in each export layout, as values; nothing is written here.

The public data sets come with a training and a validation list. A study tests on the validation list, and draws its own
validation clips from the training list. So in these layouts, the training list has Twins' training clips followed by its
validation clips, and the validation list has Twins' test clips.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

# Frames per second. A frame takes a whole number of milliseconds (125), so time stamps are exact.
FRAMES_A_SECOND = 8

_CLIPS_A_LONG_VIDEO = 30
_VIDEOS_A_PARTICIPANT = 10


@dataclass(frozen=True)
class Clip:
    """Clip ``index`` of a split of Twins, its class, and its ``number`` over all splits, in the order train, val, test."""

    split: str
    index: int
    label: int
    number: int


@dataclass(frozen=True)
class Source:
    """The data to export: clips of ``frames`` frames in the order of their numbers, class names, and file format."""

    clips: tuple[Clip, ...]
    classes: tuple[str, ...]
    frames: int
    format: str

    @property
    def parts(self) -> tuple[tuple[Clip, ...], tuple[Clip, ...]]:
        """The clips of the training list and those of the validation list of a public data set."""
        train = tuple(clip for clip in self.clips if clip.split != "test")
        return train, self.clips[len(train) :]

    def name(self, clip: Clip) -> str:
        return self.classes[clip.label]


@dataclass(frozen=True)
class Plan:
    """The files of an export: ``media`` maps path -> the clips in that video or folder of images, one after the other, and
    ``annotations`` maps path -> text. Paths are relative and use ``/``."""

    media: Mapping[str, tuple[Clip, ...]]
    annotations: Mapping[str, str]


@dataclass(frozen=True)
class Layout:
    """An export layout; ``formats`` lists the file formats that it allows, the default first."""

    formats: tuple[str, ...]
    plan: Callable[[Source], Plan]


def _folder(source: Source) -> Plan:
    media = {f"{clip.split}/{source.name(clip)}/{clip.index:06d}.{source.format}": (clip,) for clip in source.clips}
    return Plan(media, {})


def _something_v1(source: Source) -> Plan:
    """Folders of JPEGs; the lists have no header, and the test list, whose labels are not public, is empty."""
    prefix = "something-something-v1"
    train, test = (_lines(f"{_something_id(clip)};{source.name(clip)}" for clip in part) for part in source.parts)
    return Plan(
        {f"20bn-{prefix}/{_something_id(clip)}": (clip,) for clip in source.clips},
        {
            f"{prefix}-labels.csv": _lines(source.classes),
            f"{prefix}-train.csv": train,
            f"{prefix}-validation.csv": test,
            f"{prefix}-test.csv": "",
        },
    )


def _something_v2(source: Source) -> Plan:
    """WebM files; the class of a clip is its template, which has placeholders for the names of objects."""
    prefix = "something-something-v2"

    def listed(part: Sequence[Clip]) -> str:
        names = [(_something_id(clip), source.name(clip)) for clip in part]
        return _json([{"id": id, "label": name, "template": name, "placeholders": []} for id, name in names])

    train, test = source.parts
    return Plan(
        {f"20bn-{prefix}/{_something_id(clip)}.webm": (clip,) for clip in source.clips},
        {
            f"{prefix}-labels.json": _json({name: str(index) for index, name in enumerate(source.classes)}),
            f"{prefix}-train.json": listed(train),
            f"{prefix}-validation.json": listed(test),
            f"{prefix}-test.json": _json([]),
        },
    )


def _something_id(clip: Clip) -> str:
    return str(clip.number + 1)


def _kinetics400(source: Source) -> Plan:
    """Files cut from longer videos, so their names end with the start and end of the cut in seconds."""
    media: dict[str, tuple[Clip, ...]] = {}
    annotations = {}
    for split, part in zip(("train", "val"), source.parts, strict=True):
        rows = []
        for clip in part:
            id = f"twins{clip.number:06d}"  # 11 characters, like the ids of YouTube
            media[f"{split}/{source.name(clip)}/{id}_000000_000010.mp4"] = (clip,)
            rows.append((source.name(clip), id, 0, 10, split))
        header = ("label", "youtube_id", "time_start", "time_end", "split")
        annotations[f"annotations/{split}.csv"] = _csv(header, rows)
    return Plan(media, annotations)


def _diving48(source: Source) -> Plan:
    """Numbered classes. A class name is a list of the parts of a dive; here the list has one element."""

    def video(clip: Clip) -> str:
        return f"twins_{clip.number:05d}"

    train, test = (
        _json([{"vid_name": video(clip), "label": clip.label, "start_frame": 0, "end_frame": source.frames} for clip in part])
        for part in source.parts
    )
    return Plan(
        {f"rgb/{video(clip)}.mp4": (clip,) for clip in source.clips},
        {
            "Diving48_vocab.json": _json([[name] for name in source.classes]),
            "Diving48_V2_train.json": train,
            "Diving48_V2_test.json": test,
        },
    )


def _epic_kitchens_100(source: Source) -> Plan:
    """Long videos of many clips each. The verb is the class in Twins, and the noun is its pair of twins, so that there are as
    many actions (pairs of verb and noun) as classes."""
    nouns = _nouns(source)
    media: dict[str, tuple[Clip, ...]] = {}
    annotations = {
        "EPIC_100_verb_classes.csv": _csv(_EPIC_CLASSES, _epic_classes(source.classes)),
        "EPIC_100_noun_classes.csv": _csv(_EPIC_CLASSES, _epic_classes(nouns)),
    }
    for split, part in zip(("train", "validation"), source.parts, strict=True):
        rows = []
        for first in range(0, len(part), _CLIPS_A_LONG_VIDEO):
            clips = part[first : first + _CLIPS_A_LONG_VIDEO]
            person, take = divmod(len(media), _VIDEOS_A_PARTICIPANT)
            video = f"P{person + 1:02d}_{take + 1:02d}"
            media[f"{_participant(video)}/videos/{video}.MP4"] = clips
            rows += [_epic_row(source, video, place, clip) for place, clip in enumerate(clips)]
        annotations[f"EPIC_100_{split}.csv"] = _csv(_EPIC_LIST, rows)
    return Plan(media, annotations)


_EPIC_CLASSES = ("id", "key", "instances", "category")
_EPIC_LIST = (
    *("narration_id", "participant_id", "video_id", "narration_timestamp", "start_timestamp", "stop_timestamp"),
    *("start_frame", "stop_frame", "narration", "verb", "verb_class"),
    *("noun", "noun_class", "all_nouns", "all_noun_classes"),
)


def _epic_row(source: Source, video: str, place: int, clip: Clip) -> tuple[object, ...]:
    start, stop = place * source.frames, (place + 1) * source.frames
    verb, noun_class = source.name(clip), clip.label // 2
    noun = _nouns(source)[noun_class]
    return (
        *(f"{video}_{place}", _participant(video), video, _stamp(start), _stamp(start), _stamp(stop)),
        # EPIC-KITCHENS counts frames from 1.
        *(start + 1, stop + 1, verb, verb, clip.label),
        *(noun, noun_class, str([noun]), str([noun_class])),
    )


def _participant(video: str) -> str:
    return video.partition("_")[0]


def _nouns(source: Source) -> tuple[str, ...]:
    return tuple(f"scene of {name}" for name in source.classes[::2])


def _epic_classes(names: Sequence[str]) -> list[tuple[object, ...]]:
    return [(index, name, str([name]), "twins") for index, name in enumerate(names)]


def _stamp(frame: int) -> str:
    """The time of a frame as HH:MM:SS.mmm; an eighth of a second needs three decimals."""
    seconds, milliseconds = divmod(frame * 1000 // FRAMES_A_SECOND, 1000)
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}.{milliseconds:03d}"


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _json(value: object) -> str:
    return json.dumps(value, indent=1) + "\n"


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


LAYOUTS: Mapping[str, Layout] = {
    "folder": Layout(("webm", "mp4"), _folder),
    "something_v1": Layout(("jpg",), _something_v1),
    "something_v2": Layout(("webm",), _something_v2),
    "kinetics400": Layout(("mp4",), _kinetics400),
    "diving48": Layout(("mp4",), _diving48),
    "epic_kitchens_100": Layout(("mp4",), _epic_kitchens_100),
}
