"""What the record of a noun holds; the records themselves are in ``ota/nouns.py``.

The records are read for ``invoke --list``, so reading them imports nothing: a record names a function by its module,
and the function is imported when it is first called. A named tuple takes a tenth of a dataclass's time to define.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterable, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from datetime import datetime

    from ota.outcomes import Change, Outcome

Line = TypeVar("Line", bound="Change | Outcome[Any]")
NAME_HELP = "NAME, or a pattern with * (asks first); repeatable (default: the one that the settings name)."


class Lazy(NamedTuple):
    """A function of another module, imported at the first call: ``Lazy("ota.things:find_thing")``."""

    path: str

    def load(self) -> Callable[..., Any]:
        """The function itself."""
        module, _, name = self.path.partition(":")
        function: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Import and call it."""
        return self.load()(*args, **kwargs)


class Row(NamedTuple):
    """One object in a list.

    Attributes:
        name: its name; a certificate's or job's id.
        created: when it was created, where AWS tells.
        is_ours: whether this tool made it; None while that is not known, or cannot be.
        facts: its other columns, by their keys in :attr:`Listed.columns`.
        arn: where ``mark`` or ``fill`` need it.
    """

    name: str
    created: datetime | None = None
    is_ours: bool | None = None
    facts: Mapping[str, Any] = {}
    arn: str = ""

    def with_facts(self, **facts: Any) -> Row:
        """The same row with more facts."""
        return self._replace(facts={**self.facts, **facts})

    def marked(self, *, is_ours: bool) -> Row:
        """The same row, with whether it is ours."""
        return self._replace(is_ours=is_ours)


class Listed(NamedTuple):
    """How a noun is listed.

    Attributes:
        help: the sentence of the task ``list.PLURAL``.
        columns: key of a fact to its title, in the order of the table.
        rows: ``(cloud)`` yields a :class:`Row` for each object in the account.
        mark: ``(cloud, row)`` returns the row with ``is_ours``; None where ``rows`` tells that already.
        mark_all: the same for all rows at once, where that takes fewer calls.
        fill: ``(cloud, row)`` returns the row with the facts that take more calls; None where there are none.
        order: ``name``, ``newest`` (first), or empty for the order in which AWS lists.
        id_title: the title of the first column, and its key in JSON.
        is_dated: whether AWS tells when an object was created.
        shows_date: whether the table has room for the date; JSON always has it.
    """

    help: str
    columns: Mapping[str, str]
    rows: Lazy
    mark: Lazy | None = None
    mark_all: Lazy | None = None
    fill: Lazy | None = None
    order: str = ""
    id_title: str = "name"
    is_dated: bool = True
    shows_date: bool = True

    @property
    def has_date_column(self) -> bool:
        """Whether the table shows when an object was created."""
        return self.is_dated and self.shows_date


class Deleted(NamedTuple):
    """How objects of a noun are deleted by name.

    Attributes:
        help: the sentence of the task ``delete.NOUN``.
        force_help: what ``--force`` does.
        remove: ``(deletion, name)`` deletes one and returns its Outcome, whose value lists what it was attached to;
            ``deletion`` is a :class:`ota.manage.removals.Deletion`. Raises an OtaError where the object has to stay.
        name_help: what ``--name`` takes.
        prune_help: what ``--prune`` does; empty where the task has no such flag.
        attached_to: ``(cloud, name)`` lists noun and name of what the object is attached to; for ``--prune``.
        prune: ``(cloud, name)`` deletes one that is attached to nothing.
    """

    help: str
    force_help: str
    remove: Lazy
    name_help: str = NAME_HELP
    prune_help: str = ""
    attached_to: Lazy | None = None
    prune: Lazy | None = None


class Grant(NamedTuple):
    """One statement of the operator's policy.

    Attributes:
        sid: what it is about.
        resources: ARNs with names in braces; ``ota.look.operator_policy`` fills them.
        actions: action to the uses that need it, separated by spaces. A use is a task that
            makes a noun, or one of ``look``, ``clean``, ``list`` and ``delete``.
        condition: which condition it stands under; see ``ota.look.operator_policy``.
    """

    sid: str
    resources: tuple[str, ...]
    actions: Mapping[str, str]
    condition: str = ""

    def actions_for(self, uses: Collection[str]) -> list[str]:
        """The actions that these uses need."""
        return [action for action, needing in self.actions.items() if not set(needing.split()).isdisjoint(uses)]


class Noun(NamedTuple):
    """One kind of object.

    Attributes:
        name: the singular, as in each line of output: ``thing``; may be of two words.
        plural: the plural, as its list is headed.
        setting: the setting that names the object of this project; empty where none does.
        own_name: ``(settings)`` returns the name of the object of this project, where that is not a setting's value.
        set_up: its place in the set-up, smaller first; None where the set-up does not make it.
        teardown: its place in the teardown, smaller first; None where the teardown does not delete it.
        task: the task that makes it; empty where it has none of its own.
        made: the sentence of that task, for a noun that has ``make``.
        needs: tasks that run before that one.
        find: ``(cloud, settings)`` returns the object or None. Only a noun that needs nothing of another one has this
            and the next four; ``plan``, ``all`` and ``clean`` take it from here. The others are wired by hand there.
        decide: ``(found, cloud, settings)`` returns the Change of the set-up; no calls. ``found`` may be the error of
            the look.
        make: ``(cloud, change)`` carries that out and returns the Outcome.
        decide_deletion: ``(found, settings, owner)`` returns the Change of the teardown; no calls. ``owner`` is the
            thing that the object must be made for; None where the deletion is forced.
        delete: ``(cloud, change)`` carries that out and returns the Outcome.
        listed: its list; None where it has none.
        deleted: its deletion by name; None where it cannot be deleted by name.
        tag_uses: the uses that put tags on it with ``iot:TagResource``; they may tag the resources of its first grant.
        everywhere: actions that AWS cannot narrow to a resource, to the uses that need them.
        grants: its statements of the operator's policy.
    """

    name: str
    plural: str
    setting: str = ""
    own_name: Lazy | None = None
    set_up: int | None = None
    teardown: int | None = None
    task: str = ""
    made: str = ""
    needs: tuple[str, ...] = ()
    find: Lazy | None = None
    decide: Lazy | None = None
    make: Lazy | None = None
    decide_deletion: Lazy | None = None
    delete: Lazy | None = None
    listed: Listed | None = None
    deleted: Deleted | None = None
    tag_uses: str = ""
    everywhere: Mapping[str, str] = {}
    grants: tuple[Grant, ...] = ()

    def is_wanted(self, settings: Any) -> bool:
        """Whether it takes part with these settings: not where the setting that names it is empty."""
        return not self.setting or bool(getattr(settings, self.setting))

    @property
    def key(self) -> str:
        """The plural as a key in JSON: ``billing_groups``."""
        return self.plural.replace(" ", "_")

    @property
    def list_task(self) -> str:
        """The task that lists it, in the namespace ``list``: ``billing-groups``."""
        return self.plural.replace(" ", "-")

    @property
    def delete_task(self) -> str:
        """The task that deletes it by name, in the namespace ``delete``: ``billing-group``."""
        return self.name.replace(" ", "-")


def in_order(lines: Iterable[Line], places: Mapping[str, int]) -> list[Line]:
    """Sorted by place; a line without a record, such as a problem with the signature, stays behind the one before."""
    placed: list[tuple[int, Line]] = []
    for line in lines:
        placed.append((places.get(line.noun, placed[-1][0] if placed else 0), line))
    return [line for _, line in sorted(placed, key=itemgetter(0))]
