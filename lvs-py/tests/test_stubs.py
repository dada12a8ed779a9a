"""The stubs say what the extension module says: types by mypy, docstrings here.

python tests/test_stubs.py brings the docstrings of an installed package into the stubs of this tree.
"""

import ast
import dataclasses
import inspect
import re
import sys
import textwrap
from pathlib import Path

import lvs
from lvs import _lvs, captures, exceptions, packets, reasons, records, testing

STUBS = Path(__file__).parent.parent / "python" / "lvs" / "_lvs.pyi"


def documented(text):
    """The stubs with the docstrings of the module."""
    lines = text.splitlines()
    edits = []
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef):
            of = getattr(_lvs, node.name)
            edits += [(node, of.__doc__)] + [(inner, doc_of(of, inner)) for inner in node.body]
        elif isinstance(node, ast.FunctionDef):
            edits.append((node, getattr(_lvs, node.name).__doc__))
    for node, doc in sorted(edits, key=lambda edit: -edit[0].lineno):
        if doc:
            put(lines, node, doc)
    return "\n".join(lines) + "\n"


def doc_of(of, node):
    name = getattr(node, "name", None) or getattr(getattr(node, "target", None), "id", "__")
    return None if name.startswith("__") else getattr(of, name).__doc__


def put(lines, node, doc):
    """Puts a docstring where it belongs: into a class or function, or behind an attribute."""
    has_body = isinstance(node, (ast.ClassDef, ast.FunctionDef))
    indent = " " * (node.col_offset + (4 if has_body else 0))
    doc = inspect.cleandoc(doc)
    quoted = f'"""{doc}\n"""' if "\n" in doc else f'"""{doc}"""'
    new = textwrap.indent(quoted, indent, lambda line: line.strip()).splitlines()
    if not has_body:
        # What stands there already is replaced.
        old = node.end_lineno
        while old < len(lines) and lines[old].lstrip().startswith('"""'):
            old += 1
        lines[node.end_lineno : old] = new
        return
    first = node.body[0]
    if isinstance(node, ast.ClassDef):
        old = first.end_lineno if is_text(first) else first.lineno - 1 - decorators(first)
        at = node.lineno
        lines[at:old] = new
        return
    if is_text(first):
        lines[first.lineno - 1 : first.end_lineno] = new
    else:
        at = first.lineno - 1
        lines[at] = lines[at].removesuffix(" ...")
        lines[at + 1 : at + 1] = new


def decorators(node):
    return len(getattr(node, "decorator_list", []))


def is_text(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def docs_of_stubs():
    """What the stubs say of each name."""
    found = {}

    def look(body, prefix):
        for before, node in zip([None, *body], body):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                found[prefix + node.name] = ast.get_docstring(node)
                if isinstance(node, ast.ClassDef):
                    look(node.body, f"{node.name}.")
            elif is_text(node) and isinstance(before, ast.AnnAssign):
                found[prefix + before.target.id] = inspect.cleandoc(node.value.value)

    look(ast.parse(STUBS.read_text()).body, "")
    return found


def public_names():
    """Every public name of the extension module, with its docstring there."""
    for name in _lvs.__all__:
        thing = getattr(_lvs, name)
        yield name, thing.__doc__
        if isinstance(thing, type):
            for inner, attribute in vars(thing).items():
                if not inner.startswith("_"):
                    yield f"{name}.{inner}", attribute.__doc__


def test_the_stubs_have_the_docstrings_of_the_module():
    stubs = docs_of_stubs()
    for name, doc in public_names():
        assert doc, f"{name} has no docstring"
        assert stubs.get(name) == inspect.cleandoc(doc), f"{name}: run python tests/test_stubs.py"


def test_every_public_item_has_a_docstring():
    for module in (lvs, captures, exceptions, packets, reasons, records, testing):
        assert module.__doc__
        for name in module.__all__:
            thing = getattr(module, name)
            if callable(thing):
                assert thing.__doc__, f"{module.__name__}.{name}"
                for inner, method in vars(thing).items() if isinstance(thing, type) else ():
                    if inspect.isfunction(method) and not inner.startswith("_"):
                        assert method.__doc__, f"{module.__name__}.{name}.{inner}"


def test_help_tells_of_every_field_and_reason():
    for name in records.__all__:
        if dataclasses.is_dataclass(kind := getattr(records, name)):
            told = [word for line in re.findall(r"^- (.+?):", inspect.cleandoc(kind.__doc__), re.M) for word in line.split(", ")]
            assert told == [each.name for each in dataclasses.fields(kind)], name
    for kind in (lvs.PassReason, lvs.DropReason, lvs.ReplyReason):
        assert re.findall(r"^- (.+?):", inspect.cleandoc(kind.__doc__), re.M) == list(kind)


if __name__ == "__main__":
    STUBS.write_text(documented(STUBS.read_text()))
    sys.exit()
