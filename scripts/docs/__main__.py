"""Make the generated part of the documentation: docs/reference/ and docs/images/.

    python scripts/docs           writes what has changed, and names it
    python scripts/docs --check   writes nothing; exits with 1 when a file is out of date

Run it with the Python of the environment that `scripts/setup` makes.
"""

from __future__ import annotations

import sys

from generated import ROOT, generated_files


def main() -> int:
    """Write or check; give the exit code."""
    is_check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not is_check:
        print(__doc__)
        return 2
    outdated = []
    for name, text in generated_files().items():
        path = ROOT / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            outdated.append(name)
            if not is_check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8", newline="\n")
    for name in outdated:
        print(f"{'out of date' if is_check else 'wrote'}: {name}")
    return int(is_check and bool(outdated))


if __name__ == "__main__":
    sys.exit(main())
