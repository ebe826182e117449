"""The command `tagsmith NAME SETTING=VALUE ...`: every script is a subcommand."""

import ast
import runpy
import sys
from difflib import get_close_matches

from tagsmith import __version__
from tagsmith.core.errors import SettingsError
from tagsmith.core.files import shipped_folder


def main() -> None:
    """Run the script that the command line names.

    Exit status: that of the script; 64 where there is no such script.
    """
    scripts = {path.stem: path for path in sorted(shipped_folder("scripts").glob("*.py"))}
    name, *words = sys.argv[1:] or [""]
    name = name if name.startswith("-") else name.replace("-", "_")  # As shells' users spell commands.
    if name in ("-h", "--help"):
        print(usage(list(scripts)))
    elif name == "--version":
        print(f"tagsmith {__version__}")
    elif name in scripts:
        sys.argv[1:] = words
        runpy.run_path(str(scripts[name]), run_name="__main__")
    else:
        near = get_close_matches(name, scripts, 1)
        problem = f"{name}: unknown command" if name else "expected a command, found none"
        meant = f"; did you mean {near[0]}?" if near else ""
        print(f"error: {problem}{meant}\n`tagsmith --help` lists the commands.", file=sys.stderr)
        sys.exit(SettingsError.exit_status)


def usage(names: list[str]) -> str:
    """The text of `tagsmith --help`: a line for each script, benchmarks last."""
    lines = ["tagsmith COMMAND SETTING=VALUE ...", "", "commands:"]
    for name in sorted(names, key=lambda name: (name.startswith(("bench_", "check_")), name)):
        text = (shipped_folder("scripts") / f"{name}.py").read_text(encoding="utf-8")
        lines.append(f"  {name:<15} {(ast.get_docstring(ast.parse(text)) or '').splitlines()[0]}")
    return "\n".join([*lines, "", "`tagsmith COMMAND --help` explains every setting of a command."])


if __name__ == "__main__":
    main()
