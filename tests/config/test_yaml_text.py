"""Broken YAML: the right line, and what to do."""

from __future__ import annotations

import pytest

from axolotl.config.tree import Leaf, Row
from axolotl.config.yaml_text import read_yaml
from axolotl.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("a: 1\nb:\n\tc: 2\n", 3, "write spaces instead"),
        ("a: 1\nlora_r:8\nb: 2\n", 2, "write `lora_r: …`"),
        ("lora_r:8\nb: 2\n", 1, "write `lora_r: …`"),
        ("a: 1\nfoo\nb: 2\n", 2, "put a colon and a space behind the key"),
        ("a: b: c\n", 1, "put the whole value in quotes"),
        ("a: 1\n  b: 2\n", 2, "begin in the same column"),
        ("datasets:\n  - path: x\n   type: y\n", 3, "begin in the same column"),
        ("a: 1\n- b\n", 2, "indent the `- `"),
        ("a: @x\n", 1, "put the value in quotes"),
        ('a: "C:\\data"\n', 1, "use single quotes"),
        ('a: "abc\nb: 1\n', 1, "close it with the same mark"),
        ("a: [1, 2\nb: 1\n", 1, "end it with ']'"),
        ("a: 1\n---\nb: 2\n", 2, "one file is one configuration"),
        ("a: *x\n", 1, "in quotes if it is text"),
        ("a: &x 1\nb: &x 2\n", 2, "each `&name` once"),
        ("a: 1\nb: \x01\n", 2, "is this a text file"),
        ("a\nb\n", 1, "begin with a line `base_model: …`"),
        ("- a\n", 1, "the file as a whole is a list"),
        ("a: &x [*x]\n", 1, "without the alias"),
        ("a: 1\nb: &x\n  <<: *x\n", 3, "without the alias"),
        ("--- &x\na: *x\n", 2, "without the alias"),
        ("a: 1\nb:\t2\n", 2, "write spaces instead"),
        ("a: 1\n: 2\n", 2, "put the value in quotes"),
        ("%YAML 2.0\n---\na: 1\n", 1, "remove what stands before the first key"),
        ("%YAML x\n---\na: 1\n", 1, "remove what stands before the first key"),
        ("%YAML 1.1\na: 1\n", 2, "without brackets or lines with %"),
        ("[a]\nb = 1\n", 2, "without brackets or lines with %"),
        ("a: !x!y 1\n", 1, "put the value in quotes"),
        ("a: | b\n", 1, "put the value in quotes"),
        ("a: 1\nb: [${R}]\n", 2, 'write "${NAME}" in quotes'),
        ("a: 1\nb: {c: ${R}}\n", 2, 'write "${NAME}" in quotes'),
        ("a: 1\nb: a\0b\n", 2, "saved as UTF-8?"),
        ("a\0:\0", 1, "saved as UTF-8?"),
        ("<html>\n", 1, "this is no key with a value: '<html>'"),
    ],
)
def test_broken_yaml_names_the_line_and_the_way_out(text: str, line: int, hint: str) -> None:
    with pytest.raises(ConfigError, match=r".") as caught:
        read_yaml(text, "f.yml")
    assert caught.value.where == f"f.yml:{line}"
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "key 'a' is written twice: here and on line 1"),
        ("d:\n  - p: 1\n    p: 2\n", 3, "key 'd.0.p' is written twice: here and on line 2"),
        ("a: !!python/object/apply:os.system [echo]\n", 1, "have no meaning here"),
        ("a: {{ x }}\n", 1, "cannot be a key"),
        ("a: 1\n[b]: 2\n", 2, "a list or mapping cannot be a key"),
        ("a: 1\n? {b: c}\n", 2, "a list or mapping cannot be a key"),
        ("a: !!python/name:os.system x\n", 1, "tags such as '!!python/name:os.system'"),
        ("a: !b 1\n", 1, "tags such as '!b' have no meaning here"),
        ("a: &x 1\nb:\n  <<: *x\n", 3, "`<<` takes over the keys of a mapping"),
    ],
)
def test_what_does_not_hinder_reading_on_is_collected(text: str, line: int, said: str) -> None:
    _, (problem,) = read_yaml(text, "f.yml")
    assert problem.where == f"f.yml:{line}"
    assert said in problem.what


def test_the_first_of_two_values_is_kept_beside_the_problem() -> None:
    tree, _ = read_yaml("a: 1\na: 2\n", "f.yml")
    assert tree.items["a"] == Leaf("1", "f.yml:1", plain=True)


def test_deep_nesting_is_an_error_and_no_crash() -> None:
    with pytest.raises(ConfigError, match="nested too deeply"):
        read_yaml("a: " + "[" * 100_000, "f.yml")


def test_aliases_cannot_fill_the_memory() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(ConfigError, match="more than 100,000 values"):
        read_yaml("\n".join(lines), "f.yml")


def test_a_file_far_too_long_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axolotl.config.yaml_text.MAX_NODES", 100)
    text = "a: [" + "1, " * 400
    with pytest.raises(ConfigError, match="more than 100 values"):
        read_yaml(text, "f.yml")  # that its bracket is not closed stands at the end


@pytest.mark.parametrize(("depth", "fine"), [(49, True), (52, False), (300, False)])
def test_nesting_has_a_bound(depth: int, fine: bool) -> None:
    for opened, closed in ("[]", ("{a: ", "}")):
        text = f"a: {opened * depth}1{closed * depth}\n"
        if fine:
            read_yaml(text, "f.yml")
        else:
            with pytest.raises(ConfigError, match="nested too deeply"):
                read_yaml(text, "f.yml")


@pytest.mark.parametrize("key", ["1", "null", "true", "~", "2023-10-01", "1.5"])
def test_a_key_is_the_text_that_was_written(key: str) -> None:
    tree, problems = read_yaml(f"{key}: x\n", "f.yml")
    assert (list(tree.items), problems) == ([key], [])


@pytest.mark.parametrize("text", ["%YAML 1.2\n---\na: 1\n", "a: 1\r\n", "a: 1\n...\n", '{"a": 1}'])
def test_other_ways_to_write_yaml(text: str) -> None:
    tree, problems = read_yaml(text, "f.yml")
    value = tree.items["a"]
    assert isinstance(value, Leaf)
    assert (value.value, problems) == ("1", [])


def test_items_of_a_list_have_their_own_lines() -> None:
    tree, _ = read_yaml("a:\n  - x\n\n  - y\n", "f.yml")
    row = tree.items["a"]
    assert isinstance(row, Row)
    assert [item.where for item in row.items] == ["f.yml:2", "f.yml:4"]
