"""Edits change the text of a file where they must and nowhere else."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from axolotl.config.edit import apply
from axolotl.config.tree import to_python
from axolotl.config.yaml_text import read_yaml
from axolotl.config.yaml_write import write_value
from axolotl.records import Edit


def remove(key: str) -> Edit:
    return Edit("remove", key)


def rename(key: str, new: str) -> Edit:
    return Edit("rename", key, new)


def put(key: str, value: Any) -> Edit:
    return Edit("set", key, value)


MADE: dict[str, tuple[str, list[Edit], str]] = {
    "remove: comment behind goes, comment above stays": (
        "a: 1  # one\n# about b\nb: 2 # two\n\nc:   # three\n",
        [remove("b")],
        "a: 1  # one\n# about b\n\nc:   # three\n",
    ),
    "remove: the last line without a line end": ("a: 1\n# c\nb: 2", [remove("b")], "a: 1\n# c"),
    "remove: the last line without a line end, below a text with one": (
        "a: |\n  c\nb: 2",
        [remove("b")],
        "a: |\n  c\n",
    ),
    "remove: windows line ends": ("a: 1\r\nb: 2\r\nc: 3\r\n", [remove("b")], "a: 1\r\nc: 3\r\n"),
    "remove: byte order mark": ("\ufeffa: 1\nb: 2\n", [remove("a")], "\ufeffb: 2\n"),
    "remove: a value of several lines": (
        "a: |  # h\n  x\n\n  y\n\nb:\n  - 1\n  # deep\n# c\nd: 1\ne: x\n  y\n",
        [remove("a"), remove("b"), remove("e")],
        "\n# c\nd: 1\n",
    ),
    "remove: the last key of a mapping": (
        "x: 1\ntokens:  # t\n  pad_token: '<pad>'  # p\n  # deep\n# shallow\ny: 1\n",
        [remove("tokens.pad_token")],
        "x: 1\n# shallow\ny: 1\n",
    ),
    "remove: the last key of a list's mapping": (
        "d:\n  - path: x # c\ny: 1\n",
        [remove("d.0.path")],
        "d:\n  - {} # c\ny: 1\n",
    ),
    "remove: the first key of a list's mapping": (
        "d:\n  - a: 1 # c\n    b: 2 # d\n  - b: 3\n    a: 4\n",
        [remove("d.0.a"), remove("d.1.a")],
        "d:\n  - b: 2 # d\n  - b: 3\n",
    ),
    "remove: the first key of a list's mapping, above a comment": (
        "d:\n  - a: 1 # c\n    # about b\n    b: 2\n",
        [remove("d.0.a")],
        "d:\n  -\n    # about b\n    b: 2\n",
    ),
    "remove: from braces": (
        "a: {x: 1, y: 2, z: 3, w: 4}\n",
        [remove("a.x"), remove("a.z"), remove("a.w")],
        "a: {y: 2}\n",
    ),
    "remove: from braces over lines": (
        "a: {\n  x: 1, # c\n  # about y\n  y: 2, # d\n  z: 3 # e\n}\n",
        [remove("a.y"), remove("a.z")],
        "a: {\n  x: 1, # c\n  # about y\n}\n",
    ),
    "remove: the only key in braces": ("a: 1\nb: {c: 2}\n", [remove("b.c")], "a: 1\n"),
    "remove: a key whose value is an alias": (
        "a: &x 1\nb: *x\nc: 1\n",
        [remove("b")],
        "a: &x 1\nc: 1\n",
    ),
    "rename: in place, with its quotes": (
        "\"a\": 1 # c\n'b' : 2\nd:\n",
        [rename("a", "c"), rename("b", "on"), rename("d", "e f")],
        "\"c\": 1 # c\n'on' : 2\ne f:\n",
    ),
    "rename: a mapping": (
        "tokens: # t\n  # p\n  pad_token: x\n",
        [rename("tokens", "special_tokens")],
        "special_tokens: # t\n  # p\n  pad_token: x\n",
    ),
    "rename: a key without a value makes way": (
        "a: 1 # c\nb: # d\nc: 3\n",
        [rename("a", "b")],
        "b: 1 # c\nc: 3\n",
    ),
    "rename: to a mapping that is there": (
        "t:\n  pad: '<pad>'  # p\n  bos: a\ns:\n  # about eos\n  eos: x\n\ny: 1\n",
        [rename("t.pad", "s.pad"), rename("t.bos", "s.bos")],
        "s:\n  # about eos\n  eos: x\n  pad: '<pad>'  # p\n  bos: a\n\ny: 1\n",
    ),
    "rename: to a mapping that is not there": (
        "t:\n  a: 1\n  b: 2\ny: 1",
        [rename("t.b", "s.u.b")],
        "t:\n  a: 1\ns:\n  u:\n    b: 2\ny: 1",
    ),
    "rename: to a mapping that is empty": (
        "s:  # c\ny: 1\nt: {a: <x>}\n",
        [rename("t.a", "s.a")],
        "s:  # c\n  a: <x>\ny: 1\n",
    ),
    "rename: into and out of braces": (
        "s: {a: 1}\nt:\n  b: x y\n  c: [1, 2]\nu: {d: {e: 'f'}}\n",
        [rename("t.b", "s.b"), rename("t.c", "s.c"), rename("u.d", "d")],
        "s: {a: 1, b: x y, c: [1, 2]}\nd: {e: 'f'}\n",
    ),
    "rename: several lines, further left": (
        "t:\n    a: |  # h\n        x\n\n          y\n\n    c: 2\nb: 1\n",
        [rename("t.a", "u")],
        "t:\n\n    c: 2\nu: |  # h\n    x\n\n      y\nb: 1\n",
    ),
    "set: what is written": (
        "a: 1   # c\nb: 'x'  # d\nc: [1,\n  2] # e\nd: |\n  x\n\ne: *x\n".replace("*x", "~"),
        [put("a", 2), put("b", "y"), put("c", []), put("d", True), put("e", {"f": None})],
        "a: 2   # c\nb: y  # d\nc: [] # e\nd: true\n\ne: {f: null}\n",
    ),
    "set: what has no value": (
        "a:   # c\nb:\nd: {e: , f}\n",
        [put("a", 2e-4), put("b", "no"), put("d.e", 1), put("d.f", 2)],
        "a: 0.0002   # c\nb: 'no'\nd: {e: 1 , f: 2}\n",
    ),
    "set: a list over lines": (
        "a: # h\n  - x # c\n  - y\n  # deep\nb: # i\n- 1\n# c\n",
        [put("a", ["p", "8"]), put("b", "x")],
        "a: [p, '8'] # h\nb: x # i\n# c\n",
    ),
    "set: an item of a list": (
        "a: [x, y]\nb:\n  - 1 # c\n  -\n",
        [put("a.1", "z"), put("b.0", 2), put("b.1", 3)],
        "a: [x, z]\nb:\n  - 2 # c\n  - 3\n",
    ),
    "set: an alias": ("a: &x 1\nb: *x # c\n", [put("b", 2)], "a: &x 1\nb: 2 # c\n"),
    "set: a new key": ("a: 1\n# end\n", [put("b", "x: y")], "a: 1\nb: 'x: y'\n# end\n"),
    "set: a new key, no line end": ("a: 1\r\nb: 2", [put("c", 1)], "a: 1\r\nb: 2\r\nc: 1"),
    "set: a new nested key": (
        "f:  # c\ng: ~\nh: {}\ni: {j: 1}\n",
        [put("f.x.y", 1), put("g.x", 1), put("h.x", 1), put("i.k.l", 1), put("m.n", 1)],
        "f:  # c\n  x:\n    y: 1\ng: {x: 1}\nh: {x: 1}\ni: {j: 1, k: {l: 1}}\nm:\n  n: 1\n",
    ),
    "set: a new key of a list's mapping": (
        "d:\n- a: 1 # c\n- a: 2\n  b:\n  - 3\n",
        [put("d.0.c", 1), put("d.1.c", 2)],
        "d:\n- a: 1 # c\n  c: 1\n- a: 2\n  b:\n  - 3\n  c: 2\n",
    ),
    "set: before the end of the document": (
        "---\na: 1\nb: 2\n...\n",
        [put("c", 1)],
        "---\na: 1\nb: 2\nc: 1\n...\n",
    ),
    "set: in the place of what was removed": (
        "batch_size: 8 # all\nmicro_batch_size: 2\n",
        [remove("batch_size"), put("gradient_accumulation_steps", 4)],
        "gradient_accumulation_steps: 4 # all\nmicro_batch_size: 2\n",
    ),
    "set: behind what was renamed": (
        "a: 1\nz: 2\n",
        [rename("a", "b"), put("c", 3), put("d", 4)],
        "b: 1\nc: 3\nd: 4\nz: 2\n",
    ),
    "set: what was renamed": (
        "max_packed_sequence_len: 2048\nz: 1\n",
        [rename("max_packed_sequence_len", "sample_packing"), put("sample_packing", True)],
        "sample_packing: true\nz: 1\n",
    ),
    "set: beside what is inherited": (
        "b: &b\n  x: 1\nc:\n  <<: *b\n  y: 2\n",
        [put("c.x", 3)],
        "b: &b\n  x: 1\nc:\n  <<: *b\n  y: 2\n  x: 3\n",
    ),
    "the document in braces": ("{a: 1, b: 2}\n", [remove("a"), put("c", 3)], "{c: 3, b: 2}\n"),
}


@pytest.mark.parametrize(("text", "edits", "expected"), MADE.values(), ids=MADE.keys())
def test_an_edit_changes_its_key_and_nothing_else(
    text: str, edits: list[Edit], expected: str
) -> None:
    assert apply(text, edits) == (expected, [])


REFUSED: dict[str, tuple[str, Edit]] = {
    "not written": ("a: 1\nb: 2\n", remove("c")),
    "below a text": ("a: 1\nb: 2\n", remove("a.x")),
    "the only key": ("a: 1\n", remove("a")),
    "written twice": ("a: 1\na: 2\nb: 3\n", remove("a")),
    "an explicit key": ("? a\n: 1\nb: 2\n", remove("a")),
    "an item of a list": ("a: [1, 2]\n", remove("a.0")),
    "taken over by <<": ("b: &b\n  x: 1\nc:\n  <<: *b\n  y: 2\n", remove("c.x")),
    "seen through an alias": ("b: &b\n  x: 1\n  y: 1\nc: *b\n", remove("c.x")),
    "seen by an alias": ("b: &b\n  x: 1\n  y: 1\nc: *b\n", remove("b.x")),
    "an anchor that is needed": ("a: 1\nb: &b 2\nc: *b\n", remove("b")),
    "a name that is taken": ("a: 1\nb: 2\n", rename("a", "b")),
    "a mapping into itself": ("a: {b: 1}\nc: 1\n", rename("a", "a.b")),
    "a part of a text": ("a: 1\n", put("a.b", 2)),
    "a list that ends before": ("a: [1]\n", put("a.1", 2)),
    "no YAML": ("a: [1\n", put("a", 2)),
    "an empty file": ("# nothing\n", put("a", 2)),
    "a list": ("- 1\n", put("0", 2)),
}


@pytest.mark.parametrize(("text", "edit"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_changed_in_place_is_left_and_returned(text: str, edit: Edit) -> None:
    assert apply(text, [edit]) == (text, [edit])


def test_the_other_edits_are_made_all_the_same() -> None:
    edits = [remove("a"), remove("x"), put("c", 1)]
    assert apply("a: 1\nb: 2\n", edits) == ("b: 2\nc: 1\n", [remove("x")])


WORDS = st.text() | st.sampled_from(
    ["no", "1", "2e-4", "~", "None", "", "a: b", "a #b", "[x", "*a", "12:30", "a\nb", "0x1f"]
)
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


@given(PLAIN)
@example({"2e-4": ["1", "true", "~", "", "no", 2e-4]})
def test_a_written_value_is_read_back_as_it_was(value: Any) -> None:
    tree, problems = read_yaml(f"key: {write_value(value)}\n", "f")
    assert problems == []
    read = to_python(tree)["key"]
    assert read == value
    assert type(read) is type(value)


# A random document: lines, the path that each line belongs to, and comments all over.

NAMES = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True)
RAW = st.sampled_from(["1", "x", "'q'", '"d e"', "", "~", "true", "2e-4", "a b", "<x>", "'# no'"])
FLOW = st.sampled_from(
    ["[]", "[1, x]", "{}", "{a: 1}", "{a: 1, b: 'x', c: }", "{a: {b: [1]}, d: 2}"]
)
LINES = st.sampled_from(
    ["|\n  x\n\n  y", ">-\n   x\n  ", "'x\n  y'", "x\n  y z", "[1,\n  2 # c\n  ]"]
)
VALUES = st.recursive(
    RAW | RAW | FLOW | LINES,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | NAMES.flatmap(lambda names: st.fixed_dictionaries(dict.fromkeys(names, inner)))
    ),
    max_leaves=8,
)
DOCUMENTS = NAMES.flatmap(lambda names: st.fixed_dictionaries(dict.fromkeys(names, VALUES)))


@dataclass
class Written:
    """A document as text.

    Args:
        draw: Tells of each of its lines how it is decorated.
        lines: The lines, each with the path it belongs to.
    """

    draw: Iterator[int]
    lines: list[tuple[str, str]] = field(default_factory=list)

    def map(self, items: dict[str, Any], indent: str, path: str, first: str = "") -> None:
        for name, value in items.items():
            at = f"{path}.{name}" if path else name
            if not first:
                self.above(indent, path)
            key = f"'{name}'" if next(self.draw) == 0 else name
            self.value(f"{first or indent}{key}:", value, indent, at)
            first = ""

    def above(self, indent: str, path: str) -> None:
        kind = next(self.draw)
        if kind == 0:
            self.lines.append((path, ""))
        elif kind == 1:
            self.lines.append((path, f"{indent}# comment {len(self.lines)}"))

    def value(self, head: str, value: Any, indent: str, at: str) -> None:
        behind = f"  # behind {len(self.lines)}" if next(self.draw) == 0 else ""
        if isinstance(value, str):
            words, *more = value.split("\n")
            one_line = not more or words[:1] in ("|", ">")
            self.lines.append((at, f"{head} {words}{behind if one_line else ''}".rstrip()))
            self.lines += [(at, f"{indent}{line}".rstrip()) for line in more]
            return
        self.lines.append((at, head + behind))
        if isinstance(value, dict):
            self.map(value, f"{indent}{' ' * (1 + next(self.draw) % 4)}", at)
            return
        inner = indent + " " * (next(self.draw) % 3)
        inner = inner if "- " not in head else f"{indent}  "
        for number, item in enumerate(value):
            path = f"{at}.{number}"
            if isinstance(item, dict):
                self.map(item, f"{inner}  ", path, first=f"{inner}- ")
            else:
                self.value(f"{inner}-", item, inner, path)


def model(document: dict[str, Any], edit: Edit) -> Any:
    """What an edit means, on plain values; None where it has no meaning."""
    new = copy.deepcopy(document)
    parts = edit.key.split(".")
    try:
        if edit.action == "set":
            place(new, parts, edit.value)
            return new
        holder = walk(new, parts[:-1])
        if not isinstance(holder, dict):
            return None
        value = holder.pop(parts[-1])
        if edit.action == "rename":
            target = edit.value.split(".")
            into = look(new, target[:-1]) if target[1:] else new
            taken = isinstance(into, list) or look(new, target) is not None
            if taken or edit.value.startswith(f"{edit.key}."):
                return None
            place(new, target, value)
        while len(parts) > 1 and walk(new, parts[:-1]) == {}:
            parts = parts[:-1]
            if not isinstance(walk(new, parts[:-1]), dict):
                break
            del walk(new, parts[:-1])[parts[-1]]
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return new or None


def walk(value: Any, parts: list[str]) -> Any:
    for part in parts:
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


def look(value: Any, parts: list[str]) -> Any:
    try:
        return walk(value, parts)
    except (KeyError, IndexError, TypeError, ValueError):
        return None


def place(document: Any, parts: list[str], value: Any) -> None:
    for part in parts[:-1]:
        if isinstance(document, dict) and document.get(part) is None:
            document[part] = {}
        document = walk(document, [part])
    if isinstance(document, list):
        document[int(parts[-1])] = value
    elif isinstance(document, dict):
        document[parts[-1]] = value
    else:
        raise TypeError


def paths(value: Any, path: str = "") -> Iterator[str]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        at = f"{path}.{key}" if path else str(key)
        yield at
        if isinstance(item, (dict, list)):
            yield from paths(item, at)


@settings(max_examples=300)
@given(DOCUMENTS, st.integers(0, 9999), st.data())
def test_any_edit_of_any_document_is_made_and_touches_nothing_else(
    document: dict[str, Any], seed: int, data: st.DataObject
) -> None:
    dice = random.Random(seed)
    written = Written(iter(lambda: dice.randrange(10), None))
    written.map(document, "", "")
    end = "\r\n" if seed % 2 and len(written.lines) > 1 else "\n"
    text = end.join(line for _, line in written.lines)
    if "|" in text or seed % 3:  # the end of the file is the end of a text over lines
        text += end
    tree, problems = read_yaml(text, "f")
    assert problems == []
    before = to_python(tree)
    there = st.sampled_from(list(paths(before)))
    anywhere = there | st.sampled_from(["n", "n.m", "a.n", "b.c.n", "c.0.n"])
    edit = data.draw(
        st.builds(remove, there)
        | st.builds(rename, there, anywhere)
        | st.builds(put, anywhere, st.sampled_from([1, "no", None, ["x", "1"], {"k": 2e-4}]))
    )
    meant = model(before, edit)
    new, left = apply(text, [edit])
    if meant is None:
        assert (new, left) == (text, [edit])
        return
    assert left == []
    assert to_python(read_yaml(new, "f")[0]) == meant
    assert new.endswith(end) or not text.endswith(end)
    assert "\r" not in new.replace("\r\n", "") if end == "\r\n" else "\r" not in new
    touched = [edit.key] + ([edit.value] if edit.action == "rename" else [])
    kept = [
        line
        for path, line in written.lines
        if not any(_touches(t, path, document) for t in touched)
    ]
    assert _in_order(kept, new.split(end))


def _touches(key: str, path: str, document: Any) -> bool:
    """Whether a line may be another one after an edit of `key`."""
    key_parts, parts = key.split("."), path.split(".")
    if not path:
        return False
    number = next((i for i, part in enumerate(key_parts) if part.isdecimal()), None)
    if number is not None:  # in a list, keys share lines with each other
        key_parts = key_parts[:number]
    return parts[0] == key_parts[0] and (
        parts[: len(key_parts)] == key_parts or key_parts[: len(parts)] == parts
    )


def _in_order(some: list[str], lines: list[str]) -> bool:
    rest = iter(lines)
    return all(line in rest for line in some)


def test_a_key_moves_behind_a_list_over_lines_at_the_end_of_a_file_without_line_end() -> None:
    text = "a:  # behind\n a: 1\n b: [1,\n   2 # c\n   ]\nb: 1"
    moved = "a:  # behind\n a: 1\n b: [1,\n   2 # c\n   ]\n n: 1"
    assert apply(text, [rename("b", "a.n")]) == (moved, [])
