"""Studies, spaces and their settings: found in config roots, composed by Hydra, returned as frozen values.

The only place that knows Hydra and OmegaConf; neither leaves it.
"""

from gsfnas.config._compose import CHOICES, RunConfig, StudyConfig, compose_data, compose_run, compose_study, load_space
from gsfnas.config._roots import ConfigRoots, find_roots, headline

__all__ = [
    "CHOICES",
    "ConfigRoots",
    "RunConfig",
    "StudyConfig",
    "compose_data",
    "compose_run",
    "compose_study",
    "find_roots",
    "headline",
    "load_space",
]
