#!/usr/bin/env python3
"""Checks that the sources outside src/base call nothing that base wraps or that has no safe use.

Comments and literals do not count. Usage: check_banned.py [ROOT]
"""

import pathlib
import re
import sys

# call -> what to use instead
BANNED = {
    "malloc": "dl_mem_alloc", "calloc": "dl_mem_zalloc", "realloc": "dl_mem_resize",
    "free": "dl_mem_free", "strdup": "dl_arena_copy", "strndup": "dl_arena_copy",
    "asprintf": "dl_arena_printf", "vasprintf": "dl_arena_printf", "alloca": "an arena",
    "strcpy": "dl_str_copy", "stpcpy": "dl_str_copy", "strcat": "dl_buf_append_str",
    "strncpy": "dl_str_copy", "strncat": "dl_buf_append_str", "sprintf": "snprintf",
    "vsprintf": "vsnprintf", "sscanf": "a dl_cursor or dl_str_to_*", "gets": "dl_file_read_all",
    "atoi": "dl_str_to_i64", "atol": "dl_str_to_i64", "atoll": "dl_str_to_i64",
    "atof": "a reader of one's own", "strtol": "dl_str_to_i64", "strtoll": "dl_str_to_i64",
    "strtoul": "dl_str_to_u64", "strtoull": "dl_str_to_u64", "strtok": "dl_str_next",
    "strtok_r": "dl_str_next", "gmtime": "dl_clock_format_utc", "localtime": "dl_clock_format_utc",
    "getenv": "what is passed in", "rand": "dl_random_bytes", "srand": "dl_random_bytes",
    "random": "dl_random_bytes", "system": "nothing", "popen": "nothing",
    "open": "dl_file_open", "fopen": "dl_file_open", "freopen": "dl_file_open",
    "creat": "dl_file_open", "mkstemp": "dl_file_open", "tmpfile": "dl_file_open",
    "dup": "fcntl with F_DUPFD_CLOEXEC", "pipe": "pipe2 with O_CLOEXEC",
    "accept": "accept4 with SOCK_CLOEXEC",
    "exit": "an error that main maps", "abort": "DL_ASSERT",
}  # fmt: skip
# call -> the word that must stand among its arguments
NEEDS = {
    "openat": "O_CLOEXEC", "pipe2": "O_CLOEXEC", "dup3": "O_CLOEXEC", "mkostemp": "O_CLOEXEC",
    "socket": "SOCK_CLOEXEC", "accept4": "SOCK_CLOEXEC", "epoll_create1": "EPOLL_CLOEXEC",
    "eventfd": "EFD_CLOEXEC", "timerfd_create": "TFD_CLOEXEC", "memfd_create": "MFD_CLOEXEC",
}  # fmt: skip
SKIPPED = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.S
)
CALL = re.compile(r"(?<![\w.>])(" + "|".join(sorted({*BANNED, *NEEDS})) + r")\s*\(")


def blank(match):
    """Spaces of the same size, so that positions and lines stay."""
    return re.sub(r"[^\n]", " ", match.group(0))


def arguments_at(code, begin):
    """What stands between the parenthesis at `begin` and the one that closes it."""
    depth = 0
    for i in range(begin, len(code)):
        depth += {"(": 1, ")": -1}.get(code[i], 0)
        if depth == 0:
            return code[begin:i]
    return code[begin:]


def check_text(text):
    """[(line, what)]"""
    code = SKIPPED.sub(blank, text)
    findings = []
    for match in CALL.finditer(code):
        call = match.group(1)
        if call in BANNED:
            what = f"{call} is banned: use {BANNED[call]}"
        elif NEEDS[call] not in arguments_at(code, match.end() - 1):
            what = f"{call} without {NEEDS[call]}"
        else:
            continue
        findings.append((code.count("\n", 0, match.start()) + 1, what))
    return findings


def check_tree(root):
    """Findings as `path:line: what`."""
    root = pathlib.Path(root)
    findings = []
    for path in sorted((root / "src").rglob("*")):
        inside = path.relative_to(root / "src").parts
        if path.suffix not in (".c", ".cc", ".h") or inside[0] == "base":
            continue
        for line, what in check_text(path.read_text(errors="replace")):
            findings.append(f"{path.relative_to(root)}:{line}: {what}")
    return findings


def main(arguments):
    findings = check_tree(arguments[0] if arguments else pathlib.Path(__file__).resolve().parents[1])
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
