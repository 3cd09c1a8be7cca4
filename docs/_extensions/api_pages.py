"""Write one page of the API reference for each public namespace, and find public names behind internal addresses.

A name is documented once: on the page of ``alkit`` if it is there, else on that of its namespace. A docstring or a
signature that mentions an object by the file it is defined in links to that one place.
"""

from __future__ import annotations

import importlib
import inspect
import re
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, get_origin

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer

import alkit

NAMESPACES = ["alkit", *(f"alkit.{name}" for name in alkit.__all__ if inspect.ismodule(getattr(alkit, name)))]
FOLDER = Path("reference") / "api"
DIRECTIVES = {
    "Classes": "autoclass",
    "Functions": "autofunction",
    "Exceptions": "autoexception",
    "Constants": "data",
    "Types": "data",
}


def public_names(module: ModuleType) -> list[str]:
    """Return what a namespace offers: its ``__all__``, else what its own file defines."""
    if names := getattr(module, "__all__", None):
        return [name for name in names if not inspect.ismodule(getattr(module, name)) and not name.startswith("_")]
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not isinstance(value, TypeVar)
        and (getattr(value, "__module__", None) == module.__name__ or (name.isupper() and len(name) > 1))
    ]


def namespaces() -> dict[str, ModuleType]:
    """Return the public namespaces by their full names."""
    return {name: importlib.import_module(name) for name in NAMESPACES}


@cache
def homes() -> dict[int, str]:
    """Return where each public object is documented, by the identity of the object."""
    found: dict[int, str] = {}
    for namespace, module in namespaces().items():
        for name in public_names(module):
            found.setdefault(id(getattr(module, name)), f"{namespace}.{name}")
    return found


def kind_of(value: Any) -> str:
    """Return under which heading of its page an object stands."""
    if get_origin(value) is not None:
        return "Types"
    if inspect.isclass(value):
        return "Exceptions" if issubclass(value, Exception) else "Classes"
    return "Functions" if inspect.isroutine(value) else "Constants"


def files_behind(module: ModuleType) -> dict[str, str]:
    """Return by public name the file that defines it, as the stub of a lazy namespace says."""
    stub = Path(str(module.__file__)).with_suffix(".pyi")
    if not stub.exists():
        return {}
    imports = re.findall(r"^from \.([\w.]+) import (\w+) as", stub.read_text(), re.M)
    return {name: f"{module.__name__}.{file}" for file, name in imports}


def comment_on(module: ModuleType, name: str) -> list[str]:
    """Return the docstring under a constant or type in the file that defines it."""
    file = files_behind(module).get(name, module.__name__)
    return ModuleAnalyzer.for_module(file).find_attr_docs().get(("", name), [])


def background(module: ModuleType) -> list[str]:
    """Return the introductions of the files behind a namespace, those that say more than one line."""
    files = dict.fromkeys(files_behind(module).values())
    long = [file for file in files if "\n\n" in (importlib.import_module(file).__doc__ or "")]
    lines = ["Background", "-" * 10, ""] if long and module is not alkit else []
    for file in long if lines else ():
        lines += [f".. automodule:: {file}", "   :no-members:", "   :no-index:", ""]
    return lines


def members_of(cls: type) -> list[str]:
    """Return the options that list the members of a class, with those that it inherits from other classes of alkit."""
    foreign = [base.__name__ for base in cls.__mro__ if base.__module__.partition(".")[0] != "alkit"]
    return ["   :members:", f"   :inherited-members: {', '.join(foreign)}"]


def page(namespace: str, module: ModuleType, home: dict[int, str]) -> str:
    """Return the page of a namespace in reStructuredText."""
    lines = [namespace, "=" * len(namespace), "", f".. automodule:: {namespace}", "   :no-members:", ""]
    entries: dict[str, list[str]] = {kind: [] for kind in DIRECTIVES}
    own = f"{namespace}."
    for name in sorted(public_names(module), key=str.lower):
        kind = kind_of(getattr(module, name))
        entries[kind].append(own + name if kind in ("Constants", "Types") else home[id(getattr(module, name))])
    for kind, names in entries.items():
        if names:
            lines += [kind, "-" * len(kind), ""]
            if DIRECTIVES[kind] != "data":
                summary = [name.removeprefix(own) if name.startswith(own) else f"~{name}" for name in names]
                lines += [".. autosummary::", "   :nosignatures:", "", *(f"   {name}" for name in summary), ""]
            for name in (name for name in names if name.startswith(own)):
                if DIRECTIVES[kind] == "data":
                    comment = comment_on(module, name.removeprefix(own))
                    lines += [f".. data:: {name.removeprefix(own)}", "", *(f"   {line}" for line in comment), ""]
                else:
                    options = members_of(getattr(module, name.removeprefix(own))) if kind == "Classes" else []
                    lines += [f".. {DIRECTIVES[kind]}:: {name}", *options, ""]
    return "\n".join([*lines, *background(module)])


def baselines_page() -> str:
    """Return the page of the strategies and stopping rules that come with alkit."""
    title = "Strategies and stopping rules in detail"
    lines = [title, "=" * len(title), ""]
    for heading, points in (
        ("Strategies", alkit.strategies.installed()),
        ("Stopping rules", alkit.stopping.installed()),
    ):
        own = [point.value.replace(":", ".") for point in points.values() if point.value.startswith("alkit_baselines.")]
        lines += [heading, "-" * len(heading), "", ".. autosummary::", "   :nosignatures:", ""]
        lines += [*(f"   ~{name}" for name in own), ""]
        for name in own:
            lines += [f".. autoclass:: {name}", ""]
    return "\n".join(lines)


def write_pages(app: Sphinx) -> None:
    """Write all pages, and touch only those that changed."""
    folder = Path(app.srcdir) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    home = homes()
    texts = {f"{name}.rst": page(name, module, home) for name, module in namespaces().items()}
    texts["alkit_baselines.rst"] = baselines_page()
    for path in folder.glob("*.rst"):
        if path.name not in texts:
            path.unlink()
    for name, text in texts.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def find_public_name(app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.TextElement) -> Any:
    """Resolve a reference to an object by the file it is defined in."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"].lstrip("~")
    if isinstance(_imported(target), TypeVar):
        return contnode
    for start in (target, f"{node.get('py:module')}.{target}"):
        for address, member in ((start, ""), start.rpartition(".")[::2]):
            if (home := homes().get(id(_imported(address)))) is not None:
                full = f"{home}.{member}" if member else home
                domain = env.domains.python_domain
                return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", full, node, contnode)
    return None


def _imported(address: str) -> Any:
    module, _, rest = address.partition(".")
    try:
        value: Any = importlib.import_module(module)
        for name in filter(None, rest.split(".")):
            if inspect.ismodule(value) and not hasattr(value, name):
                importlib.import_module(f"{value.__name__}.{name}")
            value = getattr(value, name)
    except (ImportError, AttributeError, ValueError):
        return None
    return value


REPLACEMENTS = (
    (r"numpy\.ndarray\[~?tuple\[~?typing\.Any, \.\.\.\], ~?numpy\.dtype\[([^\]]*)\]\]", r"numpy.typing.NDArray[\1]"),
    (r"[~\w.]*_Buffer \| .*?_NestedSequence\[complex \| bytes \| str\]", "~numpy.typing.ArrayLike"),
    (r"<function (\w+)>", r"\1"),  # the default of a field
    (r"<factory>", "..."),
)


def shorten_signature(
    app: Sphinx, what: str, name: str, value: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Write types and defaults as the source does, so that Sphinx can parse them."""

    def shortened(text: str | None) -> str | None:
        for pattern, replacement in REPLACEMENTS:
            text = text and re.sub(pattern, replacement, text)
        return text

    return shortened(signature), shortened(returns)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", write_pages)
    app.connect("missing-reference", find_public_name)
    app.connect("autodoc-process-signature", shorten_signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
