"""The checks of tools/: each must find what it is for, and leave good code alone."""

import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import check_banned  # noqa: E402
import check_headers  # noqa: E402
import check_layers  # noqa: E402

TABLE = """\
0 base
1 json db    : base
2 http     : base              dicom : base json
3 cli : everything
"""
DOCUMENT = f"# Layers\n\n```\nsomething else\n```\n\n```\nlayers\n{TABLE}```\n"


def write(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


# ---- layers ----


def test_the_table_is_read_in_all_its_forms():
    layers = check_layers.parse_table(check_layers.table_text(DOCUMENT))
    assert layers == {
        "base": (0, set()),
        "json": (1, {"base"}),
        "db": (1, {"base"}),
        "http": (2, {"base"}),
        "dicom": (2, {"base", "json"}),
        "cli": (3, {"base", "json", "db", "http", "dicom"}),
    }
    assert check_layers.table_text("```layers\n0 base\n```\n") == "0 base\n"


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("", "empty"),
        ("base", "number"),
        ("0 base\n1 base", "twice"),
        ("0 base\n1 json : xml", "stands nowhere"),
        ("0 base\n1 json : db\n  db : base", "no lower"),
        ("0 base : json\n1 json", "no lower"),
        ("0 : base", "without a module"),
    ],
)
def test_a_wrong_table_is_refused(table, words):
    with pytest.raises(check_layers.BadTable, match=words):
        check_layers.parse_table(table)


def test_a_document_without_a_table_is_refused(tmp_path, capsys):
    with pytest.raises(check_layers.BadTable, match="no fenced block"):
        check_layers.table_text("```\nother\n```\n")
    assert check_layers.main([tmp_path]) == 1
    assert "ARCHITECTURE.md" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("module", "include", "words"),
    [
        ("json", '"base/str.h"', None),
        ("json", '"json/internal.h"', None),
        ("json", "<stdio.h>", None),
        ("json", '"generated.inc"', None),
        ("json", '"made_by_the_build.h"', None),
        ("json", '"base/internal.h"', "private to base"),
        ("json", '"base/str_internal.h"', "private to base"),
        ("json", '"base/text/str.h"', "private to base"),
        ("json", '"json/text/str.h"', None),
        ("json", '"db/db.h"', "may not include db"),
        ("base", '"json/json.h"', "may not include json"),
        ("http", '"dicom/dicom.h"', "may not include dicom"),
        ("json", '"x.h"', "does not name its module"),
        ("json", '"zip/zip.h"', "no module of the table"),
        ("json", "<sqlite3.h>", "only db"),
        ("db", "<sqlite3.h>", None),
        ("http", "<curl/curl.h>", None),
        ("cli", "<curl/curl.h>", "only http"),
        ("cli", '"dicom/dicom.h"', None),
        ("strange", '"base/str.h"', "missing in the table"),
    ],
)
def test_an_include_is_judged(tmp_path, module, include, words):
    write(tmp_path, "ARCHITECTURE.md", DOCUMENT)
    write(tmp_path, f"src/{module}/x.h", "\n")
    write(tmp_path, f"src/{module}/part/x.c", f"/* why */\n\n  #  include {include}\n")
    write(tmp_path, f"src/{module}/x.c", f"/* why */\n\n  #  include {include}\n")
    findings = check_layers.check_tree(tmp_path)
    if words is None:
        assert findings == []
    else:
        mine = [f for f in findings if f.startswith(f"src/{module}/x.c:")]
        assert len(mine) == 1 and words in mine[0]
        assert mine[0].startswith(f"src/{module}/x.c:{1 if module == 'strange' else 3}:")


# ---- banned calls ----


@pytest.mark.parametrize("call", sorted(check_banned.BANNED))
def test_each_banned_call_is_found(call):
    assert check_banned.check_text(f"int f(void)\n{{\n    {call}(x);\n}}\n") == [
        (3, f"{call} is banned: use {check_banned.BANNED[call]}")
    ]


@pytest.mark.parametrize("call", sorted(check_banned.NEEDS))
def test_a_descriptor_must_not_reach_a_child(call):
    word = check_banned.NEEDS[call]
    assert check_banned.check_text(f"{call}(a, (b | {word}), c);") == []
    assert check_banned.check_text(f"{call}(a, b); f({word});") == [(1, f"{call} without {word}")]


def test_what_only_looks_like_a_banned_call():
    good = """
    // malloc(1)
    /* strcpy(a, b) and
       sprintf(a, "x") */
    const char *text = "system(1) \\" rand()";
    char c = '"'; dl_random_bytes(x); vsnprintf(a); dl_file_open(b); f->open(c); g.free(d);
    my_malloc(1); _exit(1); int random; at_exit(f); char d = '\\''; unlink("a");
    """
    assert check_banned.check_text(good) == []
    assert check_banned.check_text("char c = '\"'; malloc (1); char d = '\"';")[0][0] == 1


def test_base_alone_may_allocate(tmp_path):
    write(tmp_path, "src/base/mem.c", "void f(void) { malloc(1); }\n")
    write(tmp_path, "src/json/json.c", "\nvoid f(void) { malloc(1); }\n")
    assert check_banned.check_tree(tmp_path) == [
        "src/json/json.c:2: malloc is banned: use dl_mem_alloc"
    ]
    assert check_banned.main([tmp_path]) == 1


# ---- headers ----

GUARDED = "#ifndef A_H\n#define A_H\n#include <stddef.h>\nsize_t f(void);\nenum { ONE = 1 };\n#endif\n"


@pytest.mark.parametrize(
    ("text", "good"),
    [
        (GUARDED, True),
        (GUARDED.replace("#include <stddef.h>", ""), False),
        ("#include <stddef.h>\nenum { ONE = 1 };\n", False),
        ("int f();\n", False),
    ],
)
def test_a_header_stands_alone_and_twice(tmp_path, text, good):
    write(tmp_path, "src/a/a.h", text)
    findings = check_headers.check_tree(tmp_path)
    assert (findings == []) == good
    assert all(f.startswith("src/a/a.h:") for f in findings)
    assert check_headers.main([tmp_path]) == (0 if good else 1)


def test_no_header_at_all_is_no_success(tmp_path):
    assert check_headers.check_tree(tmp_path) != []
