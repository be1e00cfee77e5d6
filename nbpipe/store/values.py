"""Values of a notebook's namespace ↔ the blob store: what the kernel calls.

Variables that share mutable state are stored in one bundle, so that they still share it when they
are loaded. Every bundle is proven: it is loaded back, and must give the same types that share in
the same way. What cannot be kept is a `ValueFailure` for the variable at fault, never a value that
comes back different.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from pickle import PicklingError
from typing import Any, Final

from xxhash import xxh3_128

from nbpipe.errors import ConfigurationError, NbpipeError, UserError
from nbpipe.model.artifact import Format, StoredValue
from nbpipe.model.digest import Digest, digest_structure
from nbpipe.model.names import Variable
from nbpipe.store.alias_groups import AliasGroups, find_alias_groups
from nbpipe.store.blobs.protocol import BlobStore
from nbpipe.store.bundles import Bundle, read_bundle, write_bundle
from nbpipe.store.serializers import pickled_objects
from nbpipe.store.serializers.choose import refuse_newer, serialize_alone, serializer_of
from nbpipe.store.serializers.numpy_memory import is_one_memory
from nbpipe.store.serializers.pickled_objects import Pickled, dump_objects, load_objects
from nbpipe.store.serializers.protocol import Serialized, Serializer
from nbpipe.store.summaries import summarize, type_name

# Loading back what is larger than this costs too much to do each time; buffers are mapped, so they
# do not count. The first value of a type is always loaded back.
_PROVEN_UP_TO_BYTES: Final = 8 << 20
_proven_types: set[type] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueFailure:
    """Why a variable could not be stored: its type, what is wrong, what to do about it."""

    type: str
    message: str
    hint: str

    def __str__(self) -> str:
        return f"{self.type}: {self.message}\n{self.hint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredValues:
    """The outcome for each variable: stored, or a failure."""

    values: Mapping[Variable, StoredValue]
    failures: Mapping[Variable, ValueFailure]


# What bundles hold, by digest and by the names that were stored together.
OpenedBundles = dict[tuple[Digest, str], object]


class _NotKept(Exception):  # noqa: N818 - never leaves this file
    """A bundle would not come back as it was."""


def store_values(  # noqa: PLR0913 - all but three are optional
    blobs: BlobStore,
    namespace: dict[str, Any],
    names: Sequence[str],
    *,
    definitions: frozenset[str] = frozenset(),
    names_indexes: bool = True,
    serializers: Sequence[Serializer] = (),
    proven: bool = True,
) -> StoredValues:
    """Store variables of a namespace; the same values under other names give the same digests.

    Args:
        names: bound names, in an order that does not depend on chance.
        definitions: functions and classes that are shipped as source, so that values refer to
            them by name.
        names_indexes: as in `find_alias_groups`.
        serializers: asked before the built-in ones.
        proven: load back what is stored, and refuse what is not kept. Loading runs code of the
            values' own, such as a `__setstate__` that counts; without it nothing notices.

    Raises:
        StoreUnavailableError: the blobs cannot be written.
    """
    groups = find_alias_groups(
        namespace, names, definitions=definitions, names_indexes=names_indexes
    )
    values: dict[Variable, StoredValue] = {}
    failures: dict[Variable, ValueFailure] = {}
    for group in groups.groups:
        good = [name for name in group if name not in groups.reaching_session]
        failures |= {
            Variable(name): _failure(
                namespace[name],
                "it refers to the notebook's whole namespace or to the running IPython session",
            )
            for name in group
            if name in groups.reaching_session
        }
        stored = _Storing(
            blobs,
            namespace,
            definitions,
            serializers,
            names_indexes=names_indexes,
            proven=proven,
        ).store(good)
        values |= stored.values
        failures |= stored.failures
    return StoredValues(
        values={Variable(name): values[Variable(name)] for name in names if name in values},
        failures=failures,
    )


def load_values(  # noqa: PLR0913 - all but three are optional
    blobs: BlobStore,
    values: Sequence[StoredValue],
    namespace: dict[str, Any],
    *,
    trusted: bool,
    serializers: Sequence[Serializer] = (),
    opened: OpenedBundles | None = None,
) -> dict[str, object]:
    """Load values; those of one bundle share what they shared. `namespace` is not changed.

    Functions that come back look up their globals in `namespace`, at the time they are called.
    With `opened`, values share also with those that an earlier call loaded from their bundles.

    Raises:
        UserError: the format can run code and the store is not trusted, or loading failed.
        CorruptStoreError: a blob is gone or damaged.
        ConfigurationError: a newer version or a plug-in wrote the value.
    """
    # Two groups with equal content have one bundle, and still share nothing with each other.
    members_by_group: dict[tuple[Digest, str], list[StoredValue]] = {}
    for value in values:
        group = _names_in(value.member) or value.variable
        members_by_group.setdefault((value.bundle, group), []).append(value)
    opened = {} if opened is None else opened
    loaded: dict[str, object] = {}
    for place, members in members_by_group.items():
        digest, _ = place
        names = " and ".join(repr(str(member.variable)) for member in members)
        bundle = read_bundle(blobs, digest)
        if bundle.format.name == pickled_objects.FORMAT.name and not trusted:
            raise UserError(
                f"{names} can run code when loaded, and this store is not trusted.",
                hint="If you know where it comes from: nbpipe trust PATH "
                "(in a container: NBPIPE_TRUST_STORE=1).",
            )
        try:
            if place in opened:
                content = opened[place]
            else:
                content = _load_bundle(blobs, bundle, namespace, serializers)
            if members[0].member:
                opened[place] = content
            for member in members:
                loaded[member.variable] = _taken_from(content, member.member)
        except NbpipeError as error:
            if isinstance(error, UserError) and not isinstance(error, ConfigurationError):
                raise UserError(f"Cannot load {names}. {error.message}", hint=error.hint) from error
            raise
        except Exception as error:
            raise UserError(
                f"Cannot load {names} ({members[0].summary.type}): {_text_of(error)}",
                hint="Is the same version of its library installed as when it was stored? "
                "Running the step again with --force stores it anew.",
            ) from error
    return loaded


def fingerprints(
    namespace: dict[str, Any],
    names: Sequence[str],
    *,
    definitions: frozenset[str] = frozenset(),
    names_indexes: bool = True,
) -> dict[frozenset[str], str | None]:
    """Give for each alias group of `names` a text that tells whether it changed in place.

    Compare only fingerprints of one process, taken of loaded values: some objects are pickled to
    other bytes after their first round trip, and to the same ever after. None: not picklable.
    """
    groups = find_alias_groups(
        namespace, names, definitions=definitions, names_indexes=names_indexes
    ).groups
    pickled = {frozenset(group): _pickled(namespace, group, definitions) for group in groups}
    return {group: None if one is None else _mark(one) for group, one in pickled.items()}


def steady_fingerprints(
    namespace: dict[str, Any],
    names: Sequence[str],
    *,
    definitions: frozenset[str] = frozenset(),
    names_indexes: bool = True,
) -> dict[frozenset[str], str | None]:
    """Give fingerprints, and None also for what has another one when it is taken again at once."""
    find_groups = partial(
        find_alias_groups, namespace, names, definitions=definitions, names_indexes=names_indexes
    )
    groups = find_groups().groups
    again = {*map(frozenset, find_groups().groups)}
    found: dict[frozenset[str], str | None] = {}
    for group in groups:
        first = _pickled(namespace, group, definitions)
        second = _pickled(namespace, group, definitions)
        together = frozenset(group)
        is_steady = first is not None and second is not None and _is_same(first, second)
        found[together] = _mark(first) if first and is_steady and together in again else None
    return found


def _pickled(
    namespace: dict[str, Any], group: Sequence[str], definitions: frozenset[str]
) -> Pickled | None:
    value = namespace[group[0]] if len(group) == 1 else tuple(namespace[n] for n in group)
    try:
        return dump_objects(
            value, namespace=namespace, definitions=definitions, buffers_from_bytes=0
        )
    except Exception:  # noqa: BLE001 - pickling runs the values' own code
        return None


def _mark(pickled: Pickled) -> str:
    hasher = xxh3_128()
    for part in _parts(pickled):
        hasher.update(part.nbytes.to_bytes(8, "little"))
        hasher.update(part)
    return hasher.hexdigest()


def _is_same(first: Pickled, second: Pickled) -> bool:
    """Compare two pickles that exist at once.

    What lies at one place is the value's own memory, and not read again: that would cost as much
    as all the rest.
    """
    pairs = list(zip_longest(_parts(first), _parts(second), fillvalue=memoryview(b"")))
    return all(one.nbytes == other.nbytes for one, other in pairs) and all(
        is_one_memory(one, other) or xxh3_128(one).digest() == xxh3_128(other).digest()
        for one, other in pairs
    )


def _parts(pickled: Pickled) -> list[memoryview]:
    return [memoryview(p) for p in (*pickled.serialized.head, *pickled.serialized.buffers)]


class _Storing:
    """Storing one alias group."""

    def __init__(  # noqa: PLR0913 - as for `store_values`
        self,
        blobs: BlobStore,
        namespace: dict[str, Any],
        definitions: frozenset[str],
        serializers: Sequence[Serializer],
        *,
        names_indexes: bool,
        proven: bool,
    ) -> None:
        self._blobs = blobs
        self._names_indexes = names_indexes
        self._proven = proven
        self._namespace = namespace
        self._definitions = definitions
        self._serializers = serializers

    def store(self, group: Sequence[str]) -> StoredValues:
        if not group:
            return StoredValues(values={}, failures={})
        try:
            stored = self._store_bundle(group)
        except NbpipeError:
            raise
        except Exception as error:  # noqa: BLE001 - pickling runs the values' own code
            return self._store_without_culprits(group, error)
        return StoredValues(values=stored, failures={})

    def _store_without_culprits(self, group: Sequence[str], error: Exception) -> StoredValues:
        if len(group) == 1:
            failure = _failure(self._namespace[group[0]], _text_of(error))
            return StoredValues(values={}, failures={Variable(group[0]): failure})
        culprits = {}
        for name in group:
            try:
                dump_objects(
                    self._namespace[name], namespace=self._namespace, definitions=self._definitions
                )
            except Exception as own_error:  # noqa: BLE001 - pickling runs the value's own code
                culprits[Variable(name)] = _failure(self._namespace[name], _text_of(own_error))
        if not culprits:
            # Each by itself is fine; only together they are not.
            together = " and ".join(group)
            return StoredValues(
                values={},
                failures={
                    Variable(name): _failure(
                        self._namespace[name], f"{together} share state: {_text_of(error)}"
                    )
                    for name in group
                },
            )
        rest = [name for name in group if name not in culprits]
        values: dict[Variable, StoredValue] = {}
        failures: dict[Variable, ValueFailure] = dict(culprits)
        for smaller in self._groups(self._namespace, rest).groups:
            stored = self.store(smaller)
            values |= stored.values
            failures |= stored.failures
        return StoredValues(values=values, failures=failures)

    def _store_bundle(self, group: Sequence[str]) -> dict[Variable, StoredValue]:
        members = [self._namespace[name] for name in group]
        alone = serialize_alone(members[0], self._serializers) if len(group) == 1 else None
        used: tuple[str, ...] = ()
        owner: object = None
        if alone is not None:
            written, serialized = alone
        else:
            pickled = dump_objects(
                members[0] if len(group) == 1 else tuple(members),
                namespace=self._namespace,
                definitions=self._definitions,
            )
            written, serialized = pickled_objects.FORMAT, pickled.serialized
            used, owner = pickled.definitions, pickled.owner
        digest, bundle = write_bundle(
            self._blobs, written, head=serialized.head, buffers=serialized.buffers
        )
        if self._proven:
            used = tuple(sorted({*used, *self._prove(group, members, bundle, serialized)}))
        del owner
        return {
            Variable(name): StoredValue(
                variable=Variable(name),
                bundle=digest,
                member=member,
                content=digest_structure((digest, member)) if member else digest,
                format=written,
                size=bundle.size,
                summary=summarize(self._namespace[name]),
                definitions=used,
            )
            for name, member in _members_of(group).items()
        }

    def _prove(
        self,
        group: Sequence[str],
        members: Sequence[object],
        bundle: Bundle,
        serialized: Serialized,
    ) -> frozenset[str]:
        """Load the bundle back; give the definitions that took, or raise `_NotKept`."""
        kinds = {type(member) for member in members}
        is_known = len(group) == 1 and kinds <= _proven_types
        if bundle.head.size > _PROVEN_UP_TO_BYTES and is_known:
            return frozenset()
        is_one = len(serialized.head) == 1
        head = memoryview(serialized.head[0] if is_one else b"".join(serialized.head))
        # Buffers come from the store: loaded over the original's memory, everything would seem
        # to be shared.
        buffers = [self._blobs.map(buffer.digest) for buffer in bundle.buffers]
        used: frozenset[str] = frozenset()
        try:
            if bundle.format == pickled_objects.FORMAT:
                content, used = load_objects(head, buffers, self._namespace)
            else:
                content = _load_alone(bundle.format, head, buffers, self._serializers)
        except NbpipeError:
            raise
        except Exception as error:
            raise _NotKept(f"it is stored but cannot be loaded: {_text_of(error)}") from error
        if not used <= self._definitions:
            names = ", ".join(sorted(used - self._definitions))
            raise _NotKept(f"it refers to {names}, which later steps do not define")
        loaded = {name: _taken_from(content, member) for name, member in _members_of(group).items()}
        for name, member in zip(group, members, strict=True):
            if not _is_same_type(type(member), type(loaded[name])):
                raise _NotKept(f"it would come back as {type_name(type(loaded[name]))}")
        if len(group) > 1:
            before = self._groups(self._namespace, group)
            after = self._groups({**self._namespace, **loaded}, group)
            if before.links != after.links:
                raise _NotKept("what they share would be lost in storing them")
        _proven_types.update(kinds)
        return used

    def _groups(self, namespace: dict[str, Any], names: Sequence[str]) -> AliasGroups:
        return find_alias_groups(
            namespace, names, definitions=self._definitions, names_indexes=self._names_indexes
        )


def _load_bundle(
    blobs: BlobStore,
    bundle: Bundle,
    namespace: dict[str, Any],
    serializers: Sequence[Serializer],
) -> object:
    head = blobs.map(bundle.head.digest)
    buffers = [blobs.map(buffer.digest) for buffer in bundle.buffers]
    if bundle.format.name == pickled_objects.FORMAT.name:
        refuse_newer(bundle.format, pickled_objects.FORMAT)
        return load_objects(head, buffers, namespace)[0]
    return _load_alone(bundle.format, head, buffers, serializers)


def _load_alone(
    written: Format,
    head: memoryview,
    buffers: Sequence[memoryview],
    serializers: Sequence[Serializer],
) -> object:
    return serializer_of(written, serializers).load(head, buffers)


def _members_of(group: Sequence[str]) -> dict[str, str]:
    """Give for each variable its place in the bundle: its number, and who is there, as `1 a b`."""
    if len(group) == 1:
        return {group[0]: ""}
    return {name: f"{number} {' '.join(group)}" for number, name in enumerate(group)}


def companions_of(value: StoredValue) -> tuple[StoredValue, ...]:
    """Give the other values of the bundle that `value` is in, as `NAME of DIGEST`.

    They share state with it, or did when they were stored. The names are no identifiers, so that
    they stand beside variables of a notebook without hiding any.
    """
    names = _names_in(value.member).split()
    return tuple(
        replace(
            value,
            variable=Variable(f"{name} of {value.bundle}"),
            member=f"{number} {' '.join(names)}",
        )
        for number, name in enumerate(names)
        if number != int(value.member.partition(" ")[0])
    )


def _names_in(member: str) -> str:
    return member.partition(" ")[2]


def _taken_from(content: Any, member: str) -> object:  # noqa: ANN401 - the value, or all values
    return content[int(member.partition(" ")[0])] if member else content


def _is_same_type(before: type, after: type) -> bool:
    if after is type(iter(())) and hasattr(before, "__next__"):
        return True  # An iterator that is at its end comes back as one over nothing.
    # A class that is pickled by value is another object with the same name.
    return before is after or (
        before.__module__ == after.__module__ and before.__qualname__ == after.__qualname__
    )


def _failure(value: object, message: str) -> ValueFailure:
    return ValueFailure(
        type=type_name(type(value)),
        message=message,
        hint="Keep what it was made from instead (a path, an address, a list), and make it where "
        "it is used; or put the cells that use it into one step.",
    )


def _text_of(error: Exception) -> str:
    if isinstance(error, _NotKept):
        return str(error)
    text = str(error) or "no message"
    # What pickle itself says needs no name in front of it.
    if isinstance(error, PicklingError) or text.startswith("cannot pickle"):
        return text
    return f"{type(error).__name__}: {text}"
