"""Diving48: competition dives, told apart by take-off, turns, twists and position. Annotations of version 2.

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
    """Test is its own test set; validation is drawn from train."""

    flip = "plain"

    def read(self, root: Path, settings: DataSettings) -> Manifest:
        return read_diving48(root)


def read_diving48(root: Path) -> Manifest:
    """``Diving48_V2_train.json``, ``_test.json`` and ``Diving48_vocab.json``, and a video or a folder of frames a dive.

    Videos are in ``rgb/``, in ``videos/`` or beside the annotations, frames in one of these, ``rawframes/`` or ``frames/``.
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
                # 0 to 0 means the whole video.
                draft.add(split, clip, (item["label"],), paths, wanted, None if window == (0, 0) else window)
            else:
                draft.reject_label(split, clip, next(iter(paths), wanted), f"label {beginning(item['label'])}", "class")
    return draft.manifest()


def _vocabulary(file: Path) -> tuple[str, ...]:
    """A class is a list of four words: take-off, turns, twists and position."""
    words = read_json(file)
    if not isinstance(words, list) or not all(isinstance(w, list) and all(isinstance(s, str) for s in w) for w in words):
        raise UserError(f"{file} must be a list with a list of words for each class, but is {beginning(words)}")
    return check_classes(file, [", ".join(parts) for parts in words])
