"""Whether a chat template can write a turn otherwise when others follow it, as far as it shows.

A template that goes through the messages once and asks of what is to come cannot. One of which that
does not show is taken for one that can; its rows are then looked at one by one.
"""

from __future__ import annotations

from jinja2 import nodes

_AHEAD = frozenset(["last", "nextitem", "length", "revindex", "revindex0"])
_RAISE = "raise_exception"


def looks_ahead(tree: nodes.Template) -> bool:
    """Whether what a template writes for a turn may depend on those behind it.

    Args:
        tree: The template.
    """
    reading = _Reading()
    reading.visit(tree, over=False)
    return reading.ahead


class _Reading:
    def __init__(self) -> None:
        self.ahead = False
        self._lists = {"messages"}
        self._loops = 0

    def visit(self, node: nodes.Node, *, over: bool) -> None:
        """Look at a node; `over`: the innermost loop goes over messages."""
        match node:
            case nodes.Assign(target=nodes.Name(name=name)) if self._is_list(node.node):
                self._lists.add(name)
                self._conditions(node.node, over=over)
            case nodes.For():
                self._loop(node, over=over)
            case nodes.If() if _only_raises(node):
                pass
            case nodes.If() if _asks_for_an_answer(node.test):
                for child in (*node.elif_, *node.else_):
                    self.visit(child, over=over)
            case nodes.If() | nodes.CondExpr() | nodes.And() | nodes.Or() | nodes.Not():
                for child in node.iter_child_nodes():
                    if not self._is_list(child):  # whether there are messages at all
                        self.visit(child, over=over)
            case nodes.Getitem(arg=nodes.Const(value=0)) if self._is_list(node.node):
                pass
            case nodes.Getattr(node=nodes.Name(name="loop")):
                self.ahead = self.ahead or (over and node.attr in _AHEAD)
            case nodes.Getitem(node=nodes.Name(name="loop")):
                self.ahead = self.ahead or over
            case nodes.Name(ctx="load"):
                self.ahead = self.ahead or node.name in self._lists
            case _:
                for child in node.iter_child_nodes():
                    self.visit(child, over=over)

    def _loop(self, node: nodes.For, *, over: bool) -> None:
        mine = self._is_list(node.iter)
        if mine:
            self._loops += 1
            self.ahead = self.ahead or self._loops > 1
            self._conditions(node.iter, over=over)
        else:
            self.visit(node.iter, over=over)
        if node.test is not None:
            self.visit(node.test, over=mine)
        for child in node.body:
            self.visit(child, over=mine)
        for child in node.else_:
            self.visit(child, over=over)

    def _is_list(self, node: nodes.Node) -> bool:
        """Whether it is the messages, or all of them from one on."""
        match node:
            case nodes.Name():
                return node.name in self._lists
            case nodes.Getitem(arg=nodes.Slice(stop=None, step=None)):
                return self._is_list(node.node)
            case nodes.CondExpr(expr2=nodes.Expr() as other):
                return self._is_list(node.expr1) and self._is_list(other)
            case _:
                return False

    def _conditions(self, node: nodes.Node, *, over: bool) -> None:
        if isinstance(node, nodes.CondExpr):
            if not self._is_list(node.test):
                self.visit(node.test, over=over)
            self._conditions(node.expr1, over=over)
            if node.expr2 is not None:
                self._conditions(node.expr2, over=over)


def _asks_for_an_answer(test: nodes.Node) -> bool:
    """Whether a condition holds only where the next answer is asked for, and not in training."""
    if isinstance(test, nodes.And):
        return _asks_for_an_answer(test.left) or _asks_for_an_answer(test.right)
    return isinstance(test, nodes.Name) and test.name == "add_generation_prompt"


def _only_raises(node: nodes.If) -> bool:
    """Whether a condition does nothing but refuse a conversation."""
    outputs = [child for child in node.body if isinstance(child, nodes.Output)]
    if node.elif_ or node.else_ or len(outputs) != len(node.body):
        return False
    parts = [part for output in outputs for part in output.nodes]
    calls = [part for part in parts if isinstance(part, nodes.Call)]
    blank = all(
        isinstance(part, nodes.Call)
        or (isinstance(part, nodes.TemplateData) and not part.data.strip())
        for part in parts
    )
    named = (isinstance(c.node, nodes.Name) and c.node.name == _RAISE for c in calls)
    return blank and bool(calls) and all(named)
