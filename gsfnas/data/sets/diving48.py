"""Diving48: competition dives, classified by take-off, turns, twists and position. Annotations of version 2.

Li, Li and Vasconcelos, "RESOUND: towards action recognition without representation bias", ECCV 2018.
"""

from pathlib import Path

from gsfnas.data._manifest import Manifest
from gsfnas.data._settings import DataSettings
from gsfnas.data.sets._annotations import Draft, beginning, check_classes, find_annotation, read_json, read_objects
from gsfnas.data.sets._files import FileSet
from gsfnas.data.sets._media import find_media, videos_first
from gsfnas.errors import UserError

_FOLDERS = ("rgb", "videos", "rawframes", "frames", "rgb_frames", "")
_FIELDS = {"vid_name": (str,), "label": (int,), "start_frame": (int,), "end_frame": (int,)}


class Diving48(FileSet):
    """``test`` is the published test set; ``val`` is drawn from train."""

    flip = "plain"

    def read(self, root: Path, settings: DataSettings) -> Manifest:
        return read_diving48(root)


def read_diving48(root: Path) -> Manifest:
    """Reads ``Diving48_V2_train.json``, ``Diving48_V2_test.json``, ``Diving48_vocab.json``, and finds the clip of each dive.

    A clip is a video or a folder of frames. Videos are in ``rgb/``, in ``videos/`` or beside the annotations; frames are in one
    of these, or in ``rawframes/``, ``frames/`` or ``rgb_frames/``.
    """
    classes = _vocabulary(find_annotation(root, ["Diving48_vocab.json"]))
    files = {split: find_annotation(root, [f"Diving48_V2_{split}.json"]) for split in ("train", "test")}
    dives = {split: list(read_objects(file, _FIELDS)) for split, file in files.items()}
    expected = "a video VIDNAME.mp4 a clip in rgb/, in videos/ or beside the annotations, or a folder of frames VIDNAME/"
    media = find_media(root, _FOLDERS, expected, {item["vid_name"] for items in dives.values() for item in items})
    draft = Draft({"class": classes}, media)
    for split, items in dives.items():
        for item in items:
            clip = item["vid_name"]
            if not draft.admit(split, clip):
                continue
            paths, wanted = videos_first(media.find(clip)), f"rgb/{clip}.mp4"
            window = (item["start_frame"], item["end_frame"])
            if 0 <= item["label"] < len(classes):
                # The window (0, 0) means the whole video.
                draft.add(split, clip, (item["label"],), paths, wanted, None if window == (0, 0) else window)
            else:
                draft.reject_label(split, clip, next(iter(paths), wanted), f"label {beginning(item['label'])}", "class")
    return draft.manifest()


def _vocabulary(file: Path) -> tuple[str, ...]:
    """The class names. In the file a class is a list of four words: take-off, turns, twists and position."""
    words = read_json(file)
    if not isinstance(words, list) or not all(isinstance(w, list) and all(isinstance(s, str) for s in w) for w in words):
        raise UserError(f"{file} must be a list with a list of words for each class, but is {beginning(words)}")
    return check_classes(file, [", ".join(parts) for parts in words])
