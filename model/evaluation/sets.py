"""The evaluation sets of a data set, ready to be evaluated again and again."""

from pathlib import Path
from types import ModuleType

from dataset.formats.prepared import PreparedDataset
from model.configuration.params import Params
from model.evaluation.ready_set import EvaluationSet, ReadySet
from runtime import plugins
from runtime.errors import UserError

_KINDS = "model.evaluation.kinds"


def load_kinds() -> dict[str, ModuleType]:
    """All kinds of evaluation sets by name, in the order in which sets are evaluated and shown."""
    names = plugins.choices(_KINDS, ("episodes", "query_gallery", "all_vs_all"))
    return {name: plugins.load(_KINDS, name) for name in names}


def find_evaluation_sets(folder: Path) -> list[EvaluationSet]:
    """The evaluation sets of a prepared folder.

    Raises:
        UserError: for half a set, and two of one name.
    """
    found: dict[str, EvaluationSet] = {}
    for kind, module in load_kinds().items():
        for name, files in module.find(folder).items():
            if name in found:
                raise UserError(f"{found[name].files[0]}: the name {name!r} is taken by {files[0].name}")
            found[name] = EvaluationSet(name, kind, files)
    return list(found.values())


def load_evaluation_sets(prepared: PreparedDataset, params: Params) -> list[ReadySet]:
    """Reads and checks the sets that `eval_sets` names, or all.

    Raises:
        UserError: when there is none, or none of that name, or a list or image is broken.
    """
    found = {each.name: each for each in find_evaluation_sets(prepared.folder)}
    if not found:
        what = "episodes/*.csv, query.csv + gallery.csv, or test.csv"
        raise UserError(f"{prepared.folder}: there is no evaluation set in it ({what})")
    for name in params.eval_sets or []:
        if name not in found:
            raise UserError(f"eval_sets: {prepared.folder} has no set {name!r}; it has {', '.join(found)}")
    kinds = load_kinds()
    return [kinds[found[name].kind].load(found[name], prepared, params) for name in params.eval_sets or found]
