"""Which clips a study trains and tests on, as a value. No torch here."""

from dataclasses import dataclass

from gsfnas.errors import UserError, unknown

NAMES = ("twins", "folder")
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class DataSettings:
    """A data set by name, and how its clips are cut.

    ``frames`` a clip at ``resolution`` x ``resolution`` pixels. For ``twins``: the numbers of clips, of which validation and
    test hold both members of every pair (so they are even), and ``difficulty`` from 0 (still camera, no noise, no distractors)
    to 1. For ``folder``: ``root``; ``val_share`` and ``test_share`` of each class where the folder comes without a split; with
    ``skip_broken`` files that cannot be decoded are left out. ``seed`` draws the clips or the split. ``cache`` is a folder;
    None is the platform's. A folder's splits that take at most ``cache_gb`` gigabytes each are decoded once into the cache.
    """

    name: str = "twins"
    root: str | None = None
    frames: int = 8
    resolution: int = 32
    train_clips: int = 1440
    val_clips: int = 480
    test_clips: int = 960
    difficulty: float = 0.4
    val_share: float = 0.15
    test_share: float = 0.15
    skip_broken: bool = False
    seed: int = 0
    cache: str | None = None
    cache_gb: float = 4.0

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise unknown("data set", self.name, NAMES)
        if self.name == "folder" and not self.root:
            raise UserError("data set 'folder' needs `data.root`, the folder with train/ val/ test/ or with the classes")
        if self.name == "twins" and self.root:
            raise UserError(f"`data.root` belongs to data=folder, but the data set is 'twins' (got {self.root!r})")
        for name, low, high in (("frames", 1, 1024), ("resolution", 8, 1024)):
            number = getattr(self, name)
            if not isinstance(number, int) or not low <= number <= high:
                raise UserError(f"`data.{name}` must be an integer from {low} to {high}, but got {number!r}")
        for name in ("train_clips", "val_clips", "test_clips"):
            clips = getattr(self, name)
            if not isinstance(clips, int) or clips < 2:
                raise UserError(f"`data.{name}` must be an integer of at least 2, but got {clips!r}")
            if clips % 2 and name != "train_clips":
                raise UserError(f"`data.{name}` must be even, since each clip stands beside its reversal, but got {clips}")
        if not 0 <= self.difficulty <= 1:
            raise UserError(f"`data.difficulty` must be a number from 0 to 1, but got {self.difficulty}")
        for name in ("val_share", "test_share"):
            if not 0 < getattr(self, name) < 1:
                raise UserError(f"`data.{name}` must be between 0 and 1, but got {getattr(self, name)}")
        if self.val_share + self.test_share >= 1:
            raise UserError(
                f"`data.val_share` and `data.test_share` must leave clips for training, but they add up to "
                f"{self.val_share + self.test_share:g}"
            )
        if not isinstance(self.seed, int) or self.seed < 0:
            raise UserError(f"`data.seed` must be an integer of at least 0, but got {self.seed!r}")
        if not self.cache_gb >= 0:
            raise UserError(f"`data.cache_gb` must be at least 0, but got {self.cache_gb}")
