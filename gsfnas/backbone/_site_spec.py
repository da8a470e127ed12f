"""The specification of a site by its backbone, before the size of its features is known."""

from dataclasses import dataclass

from gsfnas.candidate import Kind


@dataclass(frozen=True)
class SiteSpec:
    """A position for a module; ``layer`` is the dotted name of a layer that is called once per forward, on (N, C, H, W).

    ``kind`` says whether the module is before or after the layer. ``name`` identifies the site in candidates; by default it is
    the layer's name, with the suffix ``.before`` for that kind.
    """

    layer: str
    block: str
    role: str
    kind: Kind = "after"
    is_default: bool = False
    name: str = ""

    @property
    def site_name(self) -> str:
        """The name of the site, ``name`` or the default; the defaults of the two kinds of a layer differ."""
        return self.name or (self.layer if self.kind == "after" else f"{self.layer}.{self.kind}")


def around(block: str, roles: tuple[str, ...], default: str) -> list[SiteSpec]:
    """Sites before and after each layer ``block.role``, in the order of ``roles``.

    The default site is the one after the layer with the role ``default``.
    """
    return [
        place
        for role in roles
        for place in (
            SiteSpec(f"{block}.{role}", block, role, "before"),
            SiteSpec(f"{block}.{role}", block, role, "after", is_default=role == default),
        )
    ]
