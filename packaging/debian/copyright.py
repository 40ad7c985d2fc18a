"""Writes the package's copyright file: our own licence, and that of every crate in the program.

Usage: copyright.py HEAD TARGET < output of `cargo metadata`. HEAD holds the paragraphs that need no
generating. Where a crate leaves the choice, the Apache licence is chosen, whose text every Debian system
has; the others come with their own text and notices.
"""

import json
import pathlib
import re
import sys

NAMES = re.compile(r"^(licen[cs]e|copying|unlicense|notice|copyright)", re.IGNORECASE)
APACHE = re.compile(r"Apache License\s+Version 2\.0, January 2004.*?END OF TERMS AND CONDITIONS", re.DOTALL)
NOTICE = re.compile(r"^\W*(?:copyright|©)\s+(?=.*(?:\d{4}|\(c\)|©)).*$", re.IGNORECASE)


def linked(metadata):
    """The packages that end up in the program: ours is the root, build and test helpers are left out."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    targets = {p["id"]: [kind for t in p["targets"] for kind in t["kind"]] for p in metadata["packages"]}
    found, todo = set(), [metadata["resolve"]["root"]]
    while todo:
        for dep in nodes[todo.pop()]["deps"]:
            runs_later = any(kind["kind"] is None for kind in dep["dep_kinds"])
            if runs_later and dep["pkg"] not in found and "proc-macro" not in targets[dep["pkg"]]:
                found.add(dep["pkg"])
                todo.append(dep["pkg"])
    packages = (p for p in metadata["packages"] if p["id"] in found)
    return sorted(packages, key=lambda p: (p["name"], p["version"]))


def texts(package):
    """The licence and notice files of a crate, by name."""
    home = pathlib.Path(package["manifest_path"]).parent
    files = sorted(f for f in home.iterdir() if f.is_file() and NAMES.match(f.name))
    return {f.name: f.read_text("utf-8", "replace") for f in files}


def holders(package, files):
    """The copyright lines of a crate; its authors when it has none."""
    lines = []
    for text in files.values():
        # Those of the licence's own sample and of its authors are not about the crate.
        for line in filter(NOTICE.match, text.splitlines()):
            line = re.sub(r"^\W*copyright\s*", "", line.strip(), flags=re.IGNORECASE).strip(" *#")
            if line and "[" not in line and "{" not in line and line not in lines:
                lines.append(line)
    return lines or package["authors"] or [f"the authors of {package['name']}"]


def may_be_apache(expression):
    words = re.sub(r"[()/]", " ", expression.replace("/", " OR ")).split()
    return "AND" not in words and "Apache-2.0" in words


def indented(text):
    text = APACHE.sub("[The Apache License, Version 2.0: /usr/share/common-licenses/Apache-2.0]", text)
    lines = (line.rstrip().replace("\t", "        ").replace("\f", "") for line in text.strip().splitlines())
    return "\n".join(f" {line}" if line else " ." for line in lines)


def paragraph(package):
    expression = package["license"] or sys.exit(f"{package['name']} names no licence")
    files = texts(package)
    continued = "\n           ".join(holders(package, files))
    head = f"Files: vendor/{package['name']}-{package['version']}/*\nCopyright: {continued}\n"
    if may_be_apache(expression):
        notices = "\n\n".join(text for name, text in files.items() if name.lower().startswith("notice"))
        note = f"Comment:\n{indented(notices)}\n" if notices else ""
        return f"{head}License: Apache-2.0\n{note}"
    if not files and expression == "MIT":
        return f"{head}License: Expat\n"
    if not files:
        sys.exit(f"{package['name']} comes without the text of its licence ({expression})")
    name = expression.replace(" AND ", " and ").replace(" OR ", " or ").replace("MIT", "Expat")
    # A name of its own, since the text has this crate's notices in it.
    name = f"{name} of {package['name']}"
    return f"{head}License: {name}\n{indented(chr(10).join(files.values()))}\n"


def main():
    head, target = map(pathlib.Path, sys.argv[1:])
    packages = linked(json.load(sys.stdin))
    paragraphs = [head.read_text().strip() + "\n", *map(paragraph, packages)]
    target.write_text("\n".join(paragraphs))


main()
