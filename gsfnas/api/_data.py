"""Opens data sets and reports the clips that are left out."""

from gsfnas.api._watcher import Watcher
from gsfnas.data import DataSettings, VideoData, open_data
from gsfnas.escape import printable


def open_and_say(settings: DataSettings, watcher: Watcher) -> VideoData:
    """Opens the data set and tells ``watcher`` which clips are left out, so that none is skipped silently."""
    with watcher.counting("looking at the clips") as on_progress:
        data = open_data(settings, on_progress)
    if data.skipped:
        clips = "1 clip is" if len(data.skipped) == 1 else f"{len(data.skipped)} clips are"
        more = " ... (gsfnas data check lists them all)" if len(data.skipped) > 3 else ""
        watcher.say(printable(f"{clips} left out: {'; '.join(data.skipped[:3])}{more}"))
    for note in data.notes:
        watcher.say(printable(note))
    return data
