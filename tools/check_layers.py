#!/usr/bin/env python3
"""Fails on any #include in src/ that goes up or sideways, in cli/, bindings/ or examples/ that is not public, and on source files
over the ceiling of lines. The layers and what each may use are read from CMakeLists.txt."""
import pathlib
import re
import sys

CEILING = 600
root = pathlib.Path(__file__).resolve().parent.parent
uses = {}
for name, words in re.findall(r"^sq_layer\((\w+) USES([^)]*)\)", (root / "CMakeLists.txt").read_text(), re.M):
    uses[name] = set(words.split("LINKS")[0].split()) | {name}

problems = []
for layer, seen in uses.items():
    for lower in seen - {layer}:
        if list(uses).index(lower) > list(uses).index(layer):
            problems.append(f"CMakeLists.txt: {layer} uses {lower}, which stands above it")

for path in sorted([*root.glob("src/**/*.[ch]"), *root.glob("cli/**/*.[ch]"), *root.glob("examples/**/*.[ch]"),
                    *root.glob("include/**/*.h"), *root.glob("bindings/**/*.[ch]")]):
    where = path.relative_to(root)
    layer = where.parts[1] if where.parts[0] == "src" else None
    if layer and layer not in uses:
        problems.append(f"{where}: src/{layer} is not a layer in CMakeLists.txt")
    lines = path.read_text().splitlines()
    if len(lines) > CEILING:
        problems.append(f"{where}: {len(lines)} lines; the ceiling is {CEILING}")
    for number, line in enumerate(lines, 1):
        match = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
        if not match:
            continue
        target = match.group(1).split("/")
        if target[0] == "subquad":
            continue
        if layer is None:
            if where.parts[0] == "include" or len(target) > 1:
                problems.append(f"{where}:{number}: includes {match.group(1)}; only subquad/*.h may be seen here")
        elif target[0] not in uses[layer]:
            problems.append(f"{where}:{number}: src/{layer} may not include {match.group(1)}")

print("\n".join(problems) or f"layers: {len(uses)} layers, every include goes down")
sys.exit(1 if problems else 0)
