"""A place as a backbone names it, before its size is known."""

from dataclasses import dataclass

from gsfnas.candidate import Kind


@dataclass(frozen=True)
class SiteSpec:
    """Where a module can stand: ``layer`` is the dotted name of a layer that is called once on (N, C, H, W).

    ``name`` is what people and candidates call it; left empty, it is the layer's name, with ``.before`` for the kind before.
    """

    layer: str
    block: str
    role: str
    kind: Kind = "after"
    is_default: bool = False
    name: str = ""

    @property
    def site_name(self) -> str:
        """The site's name; sites of one layer and different kinds never share it."""
        return self.name or (self.layer if self.kind == "after" else f"{self.layer}.{self.kind}")


def around(block: str, roles: tuple[str, ...], default: str) -> list[SiteSpec]:
    """After and before each layer ``block.role``, in the order of ``roles``; after ``default`` is the default site."""
    return [
        place
        for role in roles
        for place in (
            SiteSpec(f"{block}.{role}", block, role, "before"),
            SiteSpec(f"{block}.{role}", block, role, "after", is_default=role == default),
        )
    ]
