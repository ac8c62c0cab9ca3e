"""Random expressions of Jinja over values of every type, from a seed: operators, filters, tests, methods, subscripts."""

import random

VALUES = {
    "n": 7, "m": -3, "z": 0, "f": 2.5, "g": -0.125, "big": 10**15, "t": True, "u": False, "none": None,
    "s": "Hello, wörld", "e": "", "w": "  two words\n", "num": " 42 ", "dec": "3.75", "csv": "a,b,,c", "up": "ABC",
    "long": "one two  three\tfour-five", "l": [3, 1, 2], "ls": ["b", "a", "C", "a"], "le": [], "mix": [1, "a", None, True],
    "ll": [[1, 2], [3]], "d": {"b": 1, "a": "x", "items": 5}, "de": {}, "dd": {"k": {"v": [1, {"w": "q"}]}},
    "ld": [{"a": 1, "n": "x"}, {"a": 3, "n": "Y"}, {"a": 2}], "fl": [1.5, 2, 1e16, 1e-5],
}
NUMBERS = ["n", "m", "z", "f", "g", "t", "1", "0", "2", "-4", "1.5", "10", "0.1", "-0.0", "(2**53 + 1)", "2.0**53"]
TEXTS = ["s", "e", "w", "num", "dec", "csv", "up", "long", "'ab'", "\"l\"", "','", "' '", "'\\n'", "'%s-%s'", "'{}{0}'", "'a\\x7fb'"]
LISTS = ["l", "ls", "le", "mix", "ll", "ld", "fl", "[1, 'x']", "(1, 2)", "range(4)", "[]", "d.items()", "d.keys()"]
DICTS = ["d", "de", "dd", "{'x': 1, 'y': [2]}", "ld[0]"]
OTHERS = ["none", "missing", "u", "namespace(a=1)"]
TEXT_FILTERS = ["upper", "lower", "capitalize", "title", "trim", "trim('ol')", "length", "replace('l', 'LL')",
                "replace('', '-', 2)", "replace('l', 'L', none)", "indent", "indent(2, true)", "indent('> ', blank=true)", "int", "int(5)",
                "tojson(ensure_ascii=true)", "float", "list", "first", "last", "reverse", "string", "default('x')", "default('x', true)", "d(1)",
                "tojson", "join('/')", "count", "sort", "unique|list", "max", "format(1, 'b')", "safe", "safe|trim", "safe|tojson"]
LIST_FILTERS = ["length", "first", "last", "join", "join(', ')", "join('-', attribute='a')", "sort", "sort(reverse=true)",
                "sort(attribute='a')", "sort(attribute='n,a')", "unique|list", "unique|join", "min", "max", "sum",
                "sum(attribute='a')", "sum(start=1)", "reverse|list", "list", "map('string')|list", "map('upper')|list",
                "map(attribute='a')|list", "map(attribute='a', default=0)|list", "select|list", "select('string')|list",
                "reject('none')|list", "selectattr('a')|list", "selectattr('a', 'gt', 1)|list",
                "selectattr('n', 'defined')|list", "rejectattr('a', 'equalto', 2)|list", "select('in', [1, 2])|list",
                "select('odd')|list", "map('length')|list", "tojson", "tojson(indent=2)", "string", "first|string",
                "max(attribute='a')", "min(attribute='a')", "dictsort", "items|list", "length|string", "map('int')|sum"]
DICT_FILTERS = ["items|list", "dictsort", "dictsort(true)", "dictsort(false, 'value')", "dictsort(reverse=true)", "length",
                "list", "tojson", "tojson(indent=4, sort_keys=true)", "tojson(separators=(',', ':'))", "string", "first",
                "last", "join(',')", "default(1)", "map('upper')|list", "tojson(ensure_ascii=true)", "reverse|list"]
NUMBER_FILTERS = ["abs", "round", "round(1)", "round(1, 'floor')", "round(0, 'ceil')", "int", "float", "string", "default(3)",
                  "tojson", "round|int", "length", "list"]
TEXT_METHODS = [".strip()", ".lstrip(' H')", ".rstrip('\\n')", ".split()", ".split(',')", ".split(',', 1)", ".split(' ')",
                ".rsplit(',', 1)", ".rsplit(None, 1)", ".split(maxsplit=1)", ".upper()", ".lower()", ".title()",
                ".capitalize()", ".startswith('H')", ".startswith(('A', 'H'))", ".endswith('d')", ".endswith('x', 2)",
                ".replace('o', '0')", ".replace('o', '0', 1)", ".find('o')", ".find('o', 5)", ".find('', 50)", ".rfind('')", ".count('', 50)", ".startswith('', 50)",
                ".split(',', none)", ".replace('o', '0', none)", ".rsplit('l')", ".rsplit('ll', 1)", ".format(1, 2)",
                ".rfind('o')", ".count('l')",
                ".index('l')", ".join(ls)", ".splitlines()", ".isdigit()", ".islower()", ".isupper()",
                ".isspace()", "[0]", "[-1]", "[1:3]", "[::-1]", "[:-2]", "[-3:]", "[20]", "['x']", ".a", "[::2]", "[5:1:-2]",
                ".removeprefix('He')", ".removesuffix('ld')", ".split('')", ".strip(none)", ".zzz()"]
LIST_METHODS = ["[0]", "[-1]", "[1:]", "[:-1]", "[::-1]", "[10]", "[0:2]", ".index('a')", ".count('a')", "['x']", ".a", "[0].a",
                ".append(1)", "[0][0]", "[none]", "[true]", "[1:none]", ".index(99)"]
DICT_METHODS = [".get('a')", ".get('zz')", ".get('zz', 3)", ".items()|list", ".keys()|list", ".values()|list", "['a']",
                "['items']", ".a", ".k.v", ".k.v[1].w", ".zz", "['zz']", ".items", "[0]", ".update({})", ".k['v'][0]", ".k.v[1]"]
TESTS = ["defined", "undefined", "none", "string", "mapping", "iterable", "sequence", "number", "integer", "float", "boolean",
         "true", "false", "odd", "even", "divisibleby 3", "divisibleby(2)", "eq 1", "ne 1", "lt 3", "ge 2", "gt(1)", "in [1, 7]",
         "in 'Hello'", "lower", "upper", "equalto('ab')", "not none", "not string", "sameas true", "callable", "sameas none"]
SIGNS = ["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]


def atom(rng):
    return rng.choice(rng.choice([NUMBERS, TEXTS, LISTS, DICTS, OTHERS]))


def changed(rng):
    """A value with methods, filters or subscripts that suit its type, mostly."""
    kind = rng.choice("ntlld")
    source, filters, methods = {"n": (NUMBERS, NUMBER_FILTERS, [""]), "t": (TEXTS, TEXT_FILTERS, TEXT_METHODS),
                                "l": (LISTS, LIST_FILTERS, LIST_METHODS), "d": (DICTS, DICT_FILTERS, DICT_METHODS)}[kind]
    value = rng.choice(source) if rng.random() < 0.9 else atom(rng)
    if rng.random() < 0.5:
        value = f"({value}){rng.choice(methods)}"
    if rng.random() < 0.5:
        value += "|" + rng.choice(filters)
    return value


def right(rng, sign):
    """The operand after an operator: small where a large number would make a value that fills the memory."""
    return rng.choice({"*": ["2", "3", "n", "t", "m", "1.5"], "**": ["2", "0.5", "0", "-1"]}.get(sign, [changed(rng)]))


def expression(rng, depth):
    choice = rng.random()
    if depth == 0 or choice < 0.45:
        return changed(rng)
    if choice < 0.7:
        signs = [rng.choice(SIGNS) for _ in range(rng.randint(1, 2))]
        return " ".join([f"({expression(rng, depth - 1)})"] + [f"{sign} {right(rng, sign)}" for sign in signs])
    if choice < 0.8:
        return f"{changed(rng)} is {rng.choice(TESTS)}"
    if choice < 0.87:
        return f"{changed(rng)} if {expression(rng, depth - 1)} else {changed(rng)}"
    if choice < 0.92:
        return f"not {expression(rng, depth - 1)}"
    if choice < 0.96:
        return f"[{expression(rng, depth - 1)}, {changed(rng)}]"
    return f"{{'k': {expression(rng, depth - 1)}, {rng.choice(TEXTS)}: {atom(rng)}}}"


def expressions(count, seed):
    """Pairs of a template and its variables."""
    rng = random.Random(seed)
    for _ in range(count):
        yield "{{ " + expression(rng, 2) + " }}", VALUES
