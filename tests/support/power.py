"""What a disk holds after a loss of power, from a log of changes (integration/powerloss.c).

A log is replayed into a `Disk`. It keeps, of each file and of each name, what is certain and what
is not yet: content counts once a sync of the file that began after the write has ended, a name once
its folder was synced. Of the rest anything may have come through by itself; `survivors` picks, and
`Tree.write` makes the folder that a program would then find.

A rename is one step, as on every file system with a journal: the old name may still be there beside
the new one, but never neither. What is kept of a write is kept in blocks.
"""

import bisect
import collections
import copy
import hashlib
import os
import struct

from .server import sanitized

HEAD = struct.Struct("<IBBHHH4xQQQqqq")
EXCHANGE = 2
SYNC_FILE, SYNC_DATA, SYNC_ALL = "f", "d", "a"  # fsync, fdatasync, syncfs
Record = collections.namedtuple(
    "Record", "kind flag file folder other_folder a b mtime_ns name other data"
)

# What comes through unsynced. "names": files are as short as they were. "zeros": names, and files
# that are long enough but empty. "journal": names up to a moment shortly before, and some data.
MODES = ("nothing", "names", "zeros", "data", "all", "journal", "any")
JOURNAL_LAG = 100


def read_log(path):
    records = []
    text = path.read_bytes()
    at = 0
    while at + HEAD.size <= len(text):
        (size, kind, flag, n, o, _, file, folder, other_folder, a, b, mtime) = HEAD.unpack_from(text, at)
        if at + size > len(text):  # the program was killed while it wrote this down
            break
        begin = at + HEAD.size
        name, other = text[begin : begin + n].decode(), text[begin + n : begin + n + o].decode()
        data = text[begin + n + o : at + size]
        records.append(
            Record(chr(kind), flag, file, folder, other_folder, a, b, mtime, name, other, data)
        )
        at += size
    return records


class File:
    def __init__(self, mtime_ns, data=b""):
        self.data = bytearray(data)  # certain
        self.mtime_ns = self.newest_ns = mtime_ns
        self.pending = []  # (position, size or None, offset, data, mtime)
        self.made = self.last = ""  # its first name and its newest: a test knows by them what it is
        self.born = -1  # where in the log

    def settle(self, before, with_mtime):
        kept = []
        for op in self.pending:
            if op[0] < before:
                self.data = apply(self.data, op)
                self.mtime_ns = op[4] if with_mtime else self.mtime_ns
            else:
                kept.append(op)
        self.pending = kept

    def now(self):
        data = bytearray(self.data)
        for op in self.pending:
            data = apply(data, op)
        return data

    def change(self, position, r, size, data):
        self.pending.append((position, size, r.a if size is None else 0, data, r.mtime_ns))
        self.newest_ns = r.mtime_ns


def grown(data, size, fill=0):
    if len(data) < size:
        data.extend(bytes([fill]) * (size - len(data)))
    return data


def apply(data, op):
    _, size, offset, piece, _ = op
    if size is not None:
        del data[size:]
        return grown(data, size)
    grown(data, offset)
    data[offset : offset + len(piece)] = piece
    return data


class Folder:
    def __init__(self):
        self.names = {}  # name -> [(position, object or None, target of the rename or None), ...]
        self.made = ""

    def settle(self, before, with_mtime=True):
        for versions in self.names.values():
            keep = last_before(versions, before)
            ties = [v[2] for v in versions[1 : keep + 1] if v[2] is not None]
            del versions[:keep]
            for folder, name, position in ties:  # one step: what left here has arrived there
                there = folder.names[name]
                del there[: last_before(there, position + 1)]

    def newest(self, name):
        return self.names[name][-1][1] if name in self.names else None


def last_before(versions, position):
    """The last version that is older than `position`; the first is always certain."""
    return max(bisect.bisect_left([v[0] for v in versions], position) - 1, 0)


class Disk:
    """The state after the records so far. `forgotten(kind, object)` says what a sync is worth: its
    kind, a lesser one, or None for nothing."""

    def __init__(self, root, forgotten=None):
        self.position = 0
        self.forgotten = forgotten
        self.root = Folder()
        self.objects = {os.stat(root).st_ino: self.root}
        self.begun = {}
        self.take_in(root, self.root)

    def take_in(self, path, folder):
        """What lies there before the log begins is certain."""
        for entry in os.scandir(path):
            facts = entry.stat(follow_symlinks=False)
            made = self.objects.get(facts.st_ino)
            if made is None and entry.is_dir(follow_symlinks=False):
                made = Folder()
            elif made is None:
                with open(entry.path, "rb") as f:
                    made = File(facts.st_mtime_ns, f.read())
            made.made = f"{folder.made}/{entry.name}"
            self.objects[facts.st_ino] = made
            if isinstance(made, Folder):
                self.take_in(entry.path, made)
            folder.names[entry.name] = [(-1, made, None)]

    def version(self, folder, name, made, tie=None):
        if isinstance(made, File):
            made.last = f"{folder.made}/{name}"
        folder.names.setdefault(name, [(-1, None, None)]).append((self.position, made, tie))

    def step(self, r):
        getattr(self, "on_" + r.kind)(r)
        self.position += 1

    def on_C(self, r):
        folder = self.objects.get(r.folder)
        if folder is not None:
            made = self.objects[r.file] = File(r.mtime_ns)
            made.made, made.born = f"{folder.made}/{r.name}", self.position
            self.version(folder, r.name, made)

    def on_T(self, r):
        self.objects[r.file] = File(r.mtime_ns)
        self.objects[r.file].born = self.position

    def on_D(self, r):
        folder = self.objects.get(r.folder)
        if folder is not None:
            made = self.objects[r.file] = Folder()
            made.made = f"{folder.made}/{r.name}"
            self.version(folder, r.name, made)

    def on_W(self, r):
        if r.file in self.objects:
            self.objects[r.file].change(self.position, r, None, r.data)

    def on_Z(self, r):
        if r.file in self.objects:
            self.objects[r.file].change(self.position, r, r.a, b"")

    def on_L(self, r):
        if r.folder in self.objects:
            self.version(self.objects[r.folder], r.name, self.objects[r.file])

    def on_U(self, r):
        if r.folder in self.objects:
            self.version(self.objects[r.folder], r.name, None)

    def on_R(self, r):
        source, target = self.objects.get(r.folder), self.objects.get(r.other_folder)
        if source is None and target is None:
            return
        assert source is not None and target is not None and not r.flag & EXCHANGE, r
        made = source.newest(r.name)
        assert made is self.objects[r.file], r
        self.version(target, r.other, made)
        self.version(source, r.name, None, (target, r.other, self.position))

    def on_B(self, r):
        self.begun[r.b, r.a] = self.position

    def on_E(self, r):
        begun = self.begun.pop((r.b, r.a))
        made, kind = self.objects.get(r.file), chr(r.flag)
        if made is not None and self.forgotten is not None:
            kind = self.forgotten(kind, made)
        if made is None or kind is None:
            return
        for each in set(self.objects.values()) if kind == SYNC_ALL else [made]:
            each.settle(begun, with_mtime=kind != SYNC_DATA)

    def on_S(self, r):
        pass

    def on_M(self, r):
        pass

    # -- after the loss --

    def survivors(self, mode, chance):
        return Survivors(self, mode, chance).tree()


class Survivors:
    """One of the states that a loss of power can leave."""

    def __init__(self, disk, mode, chance):
        self.disk, self.mode, self.chance = disk, mode, chance
        self.until = disk.position - chance.randrange(JOURNAL_LAG) if mode == "journal" else 0
        self.chosen = {}  # (folder, name) -> index of the version
        self.files = {}

    def choose(self, versions):
        if len(versions) == 1 or self.mode in ("nothing", "data"):
            return 0
        if self.mode == "journal":
            return last_before(versions, self.until)
        if self.mode == "any":
            return self.chance.randrange(len(versions))
        return len(versions) - 1

    def reachable(self):
        """Every folder of the disk, also one without a name: renames lead into it."""
        return {id(o): o for o in [self.disk.root, *self.disk.objects.values()] if isinstance(o, Folder)}

    def choose_names(self):
        folders = self.reachable().values()
        for folder in folders:
            for name in sorted(folder.names):
                self.chosen[id(folder), name] = self.choose(folder.names[name])
        settled = False
        while not settled:
            settled = True
            for folder in folders:
                for name, versions in folder.names.items():
                    at = self.chosen[id(folder), name]
                    for _, _, tie in versions[1 : at + 1]:
                        settled = self.arrive(tie) and settled

    def arrive(self, tie):
        """A name that a rename has removed is the sign that the other one is there."""
        if tie is None:
            return True
        folder, name, position = tie
        least = last_before(folder.names[name], position + 1)
        if self.chosen[id(folder), name] >= least:
            return True
        self.chosen[id(folder), name] = least
        return False

    def content(self, file):
        if id(file) not in self.files:
            self.files[id(file)] = self.some_content(file)
        return self.files[id(file)]

    def some_content(self, file):
        if self.mode in ("nothing", "names"):
            return bytes(file.data), file.mtime_ns
        if self.mode in ("data", "all"):
            return bytes(file.now()), file.newest_ns
        if self.mode == "zeros":
            return bytes(grown(bytearray(file.data), len(file.now()))), file.newest_ns
        return self.torn(file), self.chance.choice((file.mtime_ns, file.newest_ns))

    def torn(self, file):
        data = bytearray(file.data)
        block = self.chance.choice((512, 4096))
        kept = self.chance.choice((0, 0.1, 0.5, 0.9, 1))
        fill = self.chance.choice((0, 0xA5))  # what a block holds that was never written
        for position, size, offset, piece, mtime in file.pending:
            if size is not None:
                if self.chance.random() < kept:
                    data = apply(data, (position, size, offset, piece, mtime))
                continue
            at = offset
            while at < offset + len(piece):
                end = min((at // block + 1) * block, offset + len(piece))
                if self.chance.random() < kept:
                    grown(data, at, fill)
                    data[at:end] = piece[at - offset : end - offset]
                at = end
        if self.chance.random() < 0.5:
            grown(data, len(file.now()), fill)
        return bytes(data)

    def tree(self):
        self.choose_names()
        return Tree(self.take(self.disk.root))

    def take(self, folder):
        out = {}
        for name in sorted(folder.names):
            made = folder.names[name][self.chosen[id(folder), name]][1]
            if isinstance(made, Folder):
                out[name] = self.take(made)
            elif made is not None and not name.endswith("-shm"):  # memory of SQLite's, not kept
                out[name] = self.content(made)
        return out


class Tree:
    """Folders as dicts, files as (content, mtime)."""

    def __init__(self, entries):
        self.entries = entries

    def digest(self):
        h = hashlib.sha256()

        def feed(entries):
            for name, made in entries.items():
                h.update(name.encode() + b"\0")
                if isinstance(made, dict):
                    feed(made)
                else:
                    h.update(struct.pack("<qq", len(made[0]), made[1]) + made[0])
            h.update(b"\1")

        feed(self.entries)
        return h.digest()

    def write(self, path):
        def put(entries, folder):
            folder.mkdir(mode=0o700, exist_ok=True)
            for name, made in entries.items():
                if isinstance(made, dict):
                    put(made, folder / name)
                else:
                    (folder / name).write_bytes(made[0])
                    os.utime(folder / name, ns=(made[1], made[1]))

        put(self.entries, path)

    @staticmethod
    def read(path):
        def take(folder):
            out = {}
            for entry in sorted(os.scandir(folder), key=lambda e: e.name):
                if entry.is_dir(follow_symlinks=False):
                    out[entry.name] = take(entry.path)
                elif not entry.name.endswith("-shm"):
                    with open(entry.path, "rb") as f:
                        out[entry.name] = f.read(), entry.stat().st_mtime_ns
            return out

        return Tree(take(path))


class Recording:
    """A folder, `box`, and what a program with the environment `env` does below it; at first it holds
    `before`, a tree."""

    def __init__(self, folder, recorder, before=None):
        self.folder, self.box, self.log = folder, folder / "box", folder / "log"
        self.box.mkdir(parents=True)
        if before is not None:
            before.write(self.box)
        self.log.touch()
        self.env = {"LD_PRELOAD": recorder, "POWERLOSS_LOG": str(self.log), "POWERLOSS_ROOT": str(self.box)}
        if sanitized():
            self.env["ASAN_OPTIONS"] = "verify_asan_link_order=0:detect_leaks=0"
        self.pristine = Disk(self.box)

    def end(self):
        """Nothing is recorded any more; where in the log there were answers, by the port that asked."""
        self.records = read_log(self.log)
        self.answers = collections.defaultdict(list)
        for at, r in enumerate(self.records):
            if r.kind == "S":
                self.answers[r.a].append(at)

    def answered(self, port):
        """Where the next answer to this port is: asked in the order of the requests."""
        return self.answers[port].pop(0)

    def disk(self, forgotten=None):
        """As it was before the run."""
        disk = copy.deepcopy(self.pristine)
        disk.forgotten = forgotten
        return disk

    def disks(self, cuts, chance, forgotten=None):
        """(position, mode, tree) of each of `cuts`: {position: modes}."""
        disk = self.disk(forgotten)
        for position, r in enumerate(self.records, 1):
            disk.step(r)
            for mode in cuts.get(position, ()):
                yield position, mode, disk.survivors(mode, chance)

    def differences(self):
        """Between the disk with all that was written and the real one: what was not recorded."""
        disk = self.disk()
        for r in self.records:
            disk.step(r)
        replayed, real = disk.survivors("all", None), Tree.read(self.box)
        return None if replayed.entries == real.entries else (replayed.entries, real.entries)


class Noted:
    """Makes a client know from which port it asked last."""

    def connect(self):
        connection = super().connect()
        connection.connect()
        self.asked_from = connection.sock.getsockname()[1]
        return connection
