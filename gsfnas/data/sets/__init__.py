"""The built-in data sets, one file each. Those on disk only list their clips; all other code is shared."""

from collections.abc import Mapping

# Name -> class, which is imported when the data set is opened.
DATA_SETS: Mapping[str, str] = {
    "twins": "gsfnas.data.twins._data_set:Twins",
    "folder": "gsfnas.data.sets.folder:Folder",
    "something_v1": "gsfnas.data.sets.something_something:SomethingV1",
    "something_v2": "gsfnas.data.sets.something_something:SomethingV2",
    "kinetics400": "gsfnas.data.sets.kinetics400:Kinetics400",
    "diving48": "gsfnas.data.sets.diving48:Diving48",
    "epic_kitchens_100": "gsfnas.data.sets.epic_kitchens_100:EpicKitchens100",
}
