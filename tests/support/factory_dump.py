"""Asks tests/unit/factory/factory_dump, a program round the C modules, many questions at once."""

import pathlib
import subprocess

from support import server


def program():
    folder = pathlib.Path(server.program()).parent
    for above in (folder, *folder.parents):
        found = above / "tests" / "unit" / "factory" / "factory_dump"
        if found.exists():
            return str(found)
    raise FileNotFoundError("no factory_dump beside the program: build it")


def ask(questions):
    """The answers, each a list of words, to questions that are lists of words."""
    lines = "".join("\t".join(str(word) for word in question) + "\n" for question in questions)
    done = subprocess.run(
        [program()], input=lines, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    answers = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(answers) == len(questions)
    return answers


def expressions(kind, texts):
    """For each text (status, value) or (status, message, hint); kind is eval, check or plain."""
    questions = [[kind, text.encode().hex()] for text in texts]
    return [
        (status, *(bytes.fromhex(word).decode() for word in words))
        for status, *words in ask(questions)
    ]
