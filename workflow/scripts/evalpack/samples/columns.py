"""Which column of the input is which field of a sample, and which are carried through."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evalpack import records
from evalpack.samples.values import BadValue, shown, writable

SAMPLE_FIELDS = ("sample_id", "question", "country", "human_response", "prompt", "messages")

# A carried column may have none of these names: the records of later stages give them a meaning.
RESERVED = (records.RESERVED | {"prompt_digest", "label_leak"}) - set(SAMPLE_FIELDS)
MOST_COLUMNS = 1000


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the columns of a row go.

    Attributes:
        fields: the input's column for each sample field that the row has.
        carried: (name in the results, name in the input) of every other column.
    """

    fields: dict[str, str]
    carried: tuple[tuple[str, str], ...]


def assign(names: Iterable[str], mapping: Mapping[str, str]) -> Columns:
    """Assign the columns `names` under `samples.columns` ({our name: their name}).

    Raises:
        BadValue: if two columns claim one name.
    """
    names = tuple(names)
    ours = {our: their for our, their in mapping.items() if their in names}
    taken = frozenset(ours.values())
    for name in names:
        if name in taken:
            continue
        if name in mapping:
            raise BadValue(
                f"the file has a column {name!r} of its own, but samples.columns maps {name} to "
                f"{mapping[name]!r}: rename one of the two columns"
            )
        ours[name] = name
    if "sample_id" not in mapping and "sample_id" not in ours and "id" in ours:
        ours["sample_id"] = ours.pop("id")
    carried = tuple((our, their) for our, their in ours.items() if our not in SAMPLE_FIELDS)
    return Columns({our: their for our, their in ours.items() if our in SAMPLE_FIELDS}, carried)


def check_carried(names: Sequence[str]) -> None:
    """Check the names under which columns go through to the results.

    Raises:
        BadValue: if a name belongs to a field of the results, is empty, or there are too many.
    """
    for name in names:
        if name in RESERVED:
            raise BadValue(
                f"the column {name!r} has the name of a field of the results: rename it, or map it "
                f"in samples.columns, such as {{source_{name}: {name}}}"
            )
        if not name.strip() or "\0" in name:
            raise BadValue(f"a column has the name {shown(name)}: give it one that can be read")
        writable(name, f"the column name {shown(name)}")
    if len(names) > MOST_COLUMNS:
        raise BadValue(
            f"{len(names)} carried columns are more than {MOST_COLUMNS}: nest them in one, "
            'such as "extra": {...}'
        )
