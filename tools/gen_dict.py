#!/usr/bin/env python3
"""Turn the table of PS3.6 data elements (src/dict/data/elements.tsv) into C tables.

Usage: gen_dict.py INPUT.tsv OUTPUT.h

The output holds, for src/dict/dict.c:
  - the entries in ascending order of tag, repeating groups under their lowest tag;
  - the repeating groups as mask and value, for tags that are not found as they stand;
  - two hash tables with linear probing, by tag and by keyword.
"""

import re
import sys

SLOTS = 16384  # a power of two, some three times the number of entries
TAG_MULTIPLIER = 0x9E3779B1
UNBOUNDED = 255


def parse_vm(text):
    """"1", "1-3", "2-2n", "1-n" -> least, most, step."""
    low, _, high = text.partition("-")
    if not high:
        return int(low), int(low), 1
    if high.endswith("n"):
        return int(low), UNBOUNDED, int(high[:-1] or "1")
    return int(low), int(high), 1


def lowest_tag(pattern, taken):
    """The lowest tag that the pattern matches, that no plain entry has and that is no group length."""
    width = pattern.count("x")
    for digits in range(16**width):
        fill = iter("%0*X" % (width, digits))
        tag = int("".join(next(fill) if c == "x" else c for c in pattern), 16)
        if tag not in taken and tag & 0xFFFF != 0 and (tag >> 16) % 2 == 0:
            return tag
    raise SystemExit("no room for " + pattern)


def read_table(path):
    edition, entries, patterns = None, [], []
    with open(path, encoding="ascii") as table:
        for number, line in enumerate(table, 1):
            line = line.rstrip("\n")
            if line.startswith("#"):
                found = re.search(r"Edition: (\S+)", line)
                edition = found.group(1) if found else edition
                continue
            fields = line.split("\t")
            if len(fields) != 5 or not re.fullmatch(r"[0-9A-Fx]{8}", fields[0]):
                raise SystemExit("%s:%d: not a row of the table" % (path, number))
            (patterns if "x" in fields[0] else entries).append(fields)
    if edition is None:
        raise SystemExit(path + ": the edition is missing")
    return edition, entries, patterns


def tag_slot(tag):
    return (tag * TAG_MULTIPLIER & 0xFFFFFFFF) >> 18


def keyword_slot(keyword):
    h = 2166136261
    for byte in keyword.encode("ascii"):
        h = (h ^ byte) * 16777619 & 0xFFFFFFFF
    return (h ^ h >> 16) & (SLOTS - 1)


def hash_table(slots_of_entries):
    table = [0] * SLOTS  # 0: free; else index + 1
    longest = 0
    for index, slot in enumerate(slots_of_entries):
        steps = 0
        while table[(slot + steps) % SLOTS]:
            steps += 1
        table[(slot + steps) % SLOTS] = index + 1
        longest = max(longest, steps)
    return table, longest


def print_numbers(out, name, numbers):
    print("static const uint16_t %s[%d] = {" % (name, len(numbers)), file=out)
    for at in range(0, len(numbers), 16):
        print("    %s," % ", ".join(map(str, numbers[at : at + 16])), file=out)
    print("};\n", file=out)


def vr_macro(vr):
    return "DL_VR('%s', '%s')" % (vr[0], vr[1])


def main():
    edition, plain, patterns = read_table(sys.argv[1])
    taken = {int(row[0], 16) for row in plain}
    rows = [(int(row[0], 16), None, row) for row in plain]
    for row in patterns:
        rows.append((lowest_tag(row[0], taken), row[0], row))
    rows.sort()
    tags = [tag for tag, _, _ in rows]
    keywords = [row[3] for _, _, row in rows]
    if len(set(tags)) != len(tags) or len(set(keywords)) != len(keywords):
        raise SystemExit("a tag or a keyword is in the table twice")

    with open(sys.argv[2], "w", encoding="ascii") as out:
        print("/* Generated from src/dict/data/elements.tsv by tools/gen_dict.py: do not edit. */\n", file=out)
        print('static const char edition[] = "%s";\n' % edition, file=out)
        print("static const dl_dict_entry entries[] = {", file=out)
        for tag, _, (_, vrs, vm, keyword, retired) in rows:
            names = vrs.split("/")
            others = ", ".join(vr_macro(vr) for vr in names[1:]) or "0"
            low, high, step = parse_vm(vm)
            print(
                '    {0x%08x, %s, {%s}, %d, %d, %d, %s, "%s"},'
                % (tag, vr_macro(names[0]), others, low, high, step, "true" if retired else "false", keyword),
                file=out,
            )
        print("};\n", file=out)
        print("static const struct {\n    uint32_t mask, value;\n    uint16_t index;\n} repeating[] = {", file=out)
        for index, (_, pattern, _) in enumerate(rows):
            if pattern:
                mask = int("".join("0" if c == "x" else "F" for c in pattern), 16)
                print("    {0x%08x, 0x%08x, %d}," % (mask, int(pattern.replace("x", "0"), 16), index), file=out)
        print("};\n", file=out)
        by_tag, longest_tag = hash_table([tag_slot(tag) for tag in tags])
        by_keyword, _ = hash_table([keyword_slot(keyword) for keyword in keywords])
        print("enum { SLOT_COUNT = %d, LONGEST_PROBE = %d };\n" % (SLOTS, longest_tag), file=out)
        print("#define TAG_MULTIPLIER 0x%08xu\n" % TAG_MULTIPLIER, file=out)
        print_numbers(out, "slots_by_tag", by_tag)
        print_numbers(out, "slots_by_keyword", by_keyword)


if __name__ == "__main__":
    main()
