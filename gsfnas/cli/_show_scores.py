"""Prints the results of tests and of imports of weights."""

from gsfnas.api import Tested, TestedStudy
from gsfnas.api._scores import gmacs_of
from gsfnas.cli import _show
from gsfnas.escape import printable
from gsfnas.weights import Imported


def tested(found: Tested, *, is_trained: bool = False) -> None:
    """Shows the accuracies of each task, the conditions, and the file of all scores; after training also the run's folder."""
    if is_trained:
        print(found.path.parent)
    scores = found.scores
    rows = [
        (task, *(f"{value:.1%}" for value in (one.accuracy(), one.accuracy(5), one.mean_class_accuracy())))
        for task, one in scores.tasks.items()
    ]
    if (product := scores.product()) is not None:
        rows.append(("action, verb x noun", f"{product.accuracy():.1%}", f"{product.accuracy(5):.1%}", "-"))
    _show.table(("task", "top-1", "top-5", "mean class"), rows, numeric={1, 2, 3})
    gmacs = gmacs_of(found.trained)
    views = found.protocol.views
    times = f" = {views} x {gmacs:.4g}" if views > 1 else ""
    print(
        f"{found.data.name} {found.split}, {found.protocol}: {len(scores.names):,} videos, "
        f"{views} view{'s' * (views > 1)} each, "
        f"{gmacs * views:.4g} GMACs a video{times}"
    )
    print(found.path)


def tested_study(name: str, found: TestedStudy) -> None:
    """Shows the accuracies of each candidate, and where the records are."""
    rows = [
        (
            one.key,
            *(f"{one.metrics[f'{found.split}_{what}']:.1%}" for what in ("top1", "top5", "mean_class")),
            f"{one.macs_fvcore / 1e9:.4g}",
        )
        for one in found.scores
    ]
    _show.table(("candidate", "top-1", "top-5", "mean class", "GMACs a video"), rows, numeric={1, 2, 3, 4})
    where = f"the records are in the study; gsfnas report build {name} shows them"
    print(f"{found.data.name} {found.split}, {found.protocol}: {where}")
    if found.num_new:
        print(found.folder)
    else:
        _show.progress("all were measured before; nothing was tested again")


def imported(found: Imported, *, is_all: bool) -> None:
    """Shows which network was imported and which tensors fit; lists all their names if ``is_all``, else the first five."""
    number = len(found.candidate.insertions)
    network = f"{number} module{'' if number == 1 else 's'} in {found.candidate.backbone}"
    head = f"a head of {found.classes} classes" if found.classes else "no head"
    print(f"{found.candidate.key}: {network}, {head}")
    print(found.found.summary())
    for note in found.notes:
        print(printable(note))
    for kind, names in (
        ("reshaped", found.found.reshaped),
        ("missing", found.found.missing),
        ("left over", found.found.left_over),
    ):
        shown = names if is_all else names[:5]
        more = f" and {len(names) - len(shown)} more (--all lists them)" if len(names) > len(shown) else ""
        if names:
            print(printable(f"{kind}: {', '.join(shown)}{more}"))
    print(found.path)
