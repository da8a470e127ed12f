"""Data sets, opened so that what was left out is said."""

from gsfnas.api._watcher import Watcher
from gsfnas.data import DataSettings, VideoData, open_data
from gsfnas.escape import printable


def open_and_say(settings: DataSettings, watcher: Watcher) -> VideoData:
    """The data; what was left out of it is said, never silently so."""
    with watcher.counting("looking at the clips") as on_progress:
        data = open_data(settings, on_progress)
    if data.skipped:
        clips = "1 clip is" if len(data.skipped) == 1 else f"{len(data.skipped)} clips are"
        more = " ... (gsfnas data check lists them all)" if len(data.skipped) > 3 else ""
        watcher.say(printable(f"{clips} left out: {'; '.join(data.skipped[:3])}{more}"))
    for note in data.notes:
        watcher.say(printable(note))
    return data
