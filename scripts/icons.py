"""Makes static/img/icons.svg, the sprite of the icons that screens use, from an unpacked lucide-static package.

    npm pack lucide-static && tar xzf lucide-static-*.tgz
    python3 scripts/icons.py package [NEW-ICON-NAME...]

Keeps the icons that the sprite has and adds the named ones. Standard library only.
"""

import re
import sys
from pathlib import Path

SPRITE = Path(__file__).resolve().parent.parent / "static" / "img" / "icons.svg"
HEAD = """<svg xmlns="http://www.w3.org/2000/svg">
<!-- Icons of lucide-static {version}, ISC licence: LICENSE-lucide.txt. Made by scripts/icons.py. -->
"""
SYMBOL = '<symbol id="{name}" viewBox="0 0 24 24">{shapes}</symbol>\n'


def main(package: Path, added: list[str]) -> None:
    """Write the sprite and the licence beside it."""
    present = re.findall(r'<symbol id="([a-z0-9-]+)"', SPRITE.read_text()) if SPRITE.exists() else []
    version = re.search(r'"version": "([^"]+)"', (package / "package.json").read_text())
    parts = [HEAD.format(version=version.group(1) if version else "")]
    for name in sorted({*present, *added}):
        source = (package / "icons" / f"{name}.svg").read_text()
        inside = re.search(r"<svg[^>]*>(.*)</svg>", source, re.DOTALL)
        if inside is None:
            raise SystemExit(f"{name}.svg is not an icon")
        parts.append(SYMBOL.format(name=name, shapes=re.sub(r"\s*\n\s*", "", inside.group(1))))
    SPRITE.parent.mkdir(parents=True, exist_ok=True)
    SPRITE.write_text("".join([*parts, "</svg>\n"]))
    (SPRITE.parent / "LICENSE-lucide.txt").write_text((package / "LICENSE").read_text())


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])
