#!/usr/bin/env python3
"""Compares our renderer of chat templates with jinja2, set up as transformers does.

Every template of the given folders (*.jinja, chat_template.json, tokenizer_config.json) is rendered over generated
conversations, then random expressions are.  Where jinja2 gives a text, ours must give the same bytes; where it raises,
ours must refuse.  Only random expressions may meet something that ours does not support, and few of them.
"""

import argparse
import copy
import datetime
import functools
import json
import subprocess
import sys
import warnings
from pathlib import Path

try:
    import jinja2
    import jinja2.ext
    import jinja2.sandbox
except ImportError:
    sys.exit("compare_jinja2.py: no module jinja2; install it: scripts/bootstrap.sh")

from conversations import conversations
from expressions import expressions

DATE = datetime.date(2025, 3, 9)


class Generation(jinja2.ext.Extension):
    """{% generation %}: marks the tokens of the assistant, prints its body."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: DATE.strftime(form)
    return env


def templates(folders):
    """Pairs of a name and a text."""
    for folder in folders:
        for file in sorted(Path(folder).rglob("*")):
            if file.suffix == ".jinja":
                yield str(file), file.read_bytes().decode()
            elif file.name in ("chat_template.json", "tokenizer_config.json"):
                found = json.loads(file.read_text()).get("chat_template")
                for each in found if isinstance(found, list) else [{"template": found}] if found else []:
                    yield f"{file} {each.get('name', '')}".strip(), each["template"]


@functools.lru_cache(maxsize=None)
def compiled(env, text):
    return env.from_string(text)


def expected(env, task):
    try:
        return {"text": compiled(env, task["template"]).render(**copy.deepcopy(task["variables"]))}
    except (jinja2.exceptions.TemplateError, TypeError, ValueError, ArithmeticError, AttributeError, LookupError,
            MemoryError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


def agree(wanted, found):
    if "text" in wanted:
        return wanted["text"] == found.get("text")
    return found.get("kind") in (3, 4)


def run(program, tasks):
    lines = "".join(json.dumps(task) + "\n" for task in tasks)
    done = subprocess.run([program], input=lines, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        sys.exit(f"{program}: exit {done.returncode}: {done.stderr[-500:]}")
    return [json.loads(line) for line in done.stdout.split("\n") if line]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", required=True)
    parser.add_argument("--conversations", type=int, default=50, help="of each template")
    parser.add_argument("--expressions", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--show", type=int, default=5, help="differences that are printed")
    parser.add_argument("folders", nargs="+")
    options = parser.parse_args()

    warnings.simplefilter("ignore", SyntaxWarning)  # of the Python that jinja2 makes of odd expressions
    env = environment()
    tasks, names = [], []
    texts = dict(templates(options.folders))
    for name, text in texts.items():
        for number, variables in enumerate(conversations(options.conversations, options.seed)):
            tasks.append({"template": text, "variables": variables, "date": str(DATE)})
            names.append(f"{name} #{number}")
    first_expression = len(tasks)
    for number, (text, variables) in enumerate(expressions(options.expressions, options.seed)):
        tasks.append({"template": text, "variables": variables, "date": str(DATE)})
        names.append(f"expression #{number}")

    differing = unsupported = rendered = 0
    rendered_by_name = {}
    for number, (name, task, found) in enumerate(zip(names, tasks, run(options.program, tasks))):
        wanted = expected(env, task)
        rendered += "text" in wanted
        if "text" in wanted:
            rendered_by_name[name.rsplit(" #", 1)[0]] = True
        if number >= first_expression and found.get("kind") == 4:
            unsupported += 1
        elif not agree(wanted, found):
            differing += 1
            if differing <= options.show:
                print(f"{name}\n  jinja2: {wanted}\n  ours:   {found}")
                if number >= first_expression:
                    print(f"  {task['template']!r}")
    print(f"{len(texts)} templates, {len(tasks)} renderings, {rendered} of them texts; {differing} differ; "
          f"{unsupported} of {options.expressions} expressions are not supported")
    silent = [name for name in texts if name not in rendered_by_name]
    if silent:
        sys.exit(f"no conversation suits: {silent}")
    if not texts or differing or unsupported * 20 > options.expressions:
        sys.exit(1)


if __name__ == "__main__":
    main()
