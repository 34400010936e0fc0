"""Asks tests/unit/factory/factory_dump, a program round the C modules, many questions at once."""

import subprocess

from support import server


def ask(questions):
    """The answers, each a list of words, to questions that are lists of words."""
    lines = "".join("\t".join(str(word) for word in question) + "\n" for question in questions)
    done = subprocess.run(
        [server.unit_program("factory/factory_dump")], input=lines, capture_output=True, text=True, timeout=600, check=False
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
