"""As much of Go's templates as the Helm chart needs, for a machine without helm.

It is strict: what it does not know is an error, never an empty string. Where helm is installed, scripts/check_helm.py compares
both renderings, so that this one cannot drift away.
"""

import re

import yaml

ACTION = re.compile(r"\{\{(-)?(?:\s*/\*.*?\*/\s*|\s*(.*?)\s*)(-)?\}\}", re.DOTALL)
TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|(\d+)|(:=|[|()])|(\$[\w.]*|\.[\w.]*|[A-Za-z_]\w*))')


class TemplateError(Exception):
    """The template uses what is not known here, or names a value that is not there."""


def pieces(source):
    """Texts and actions in turn, with white space trimmed where an action has a dash."""
    found, at, trims = [], 0, False
    for match in ACTION.finditer(source):
        text = source[at : match.start()]
        if trims:
            text = text.lstrip()
        if match[1]:
            text = text.rstrip()
        found.append(("text", text))
        if match[2]:
            found.append(("action", match[2]))
        at, trims = match.end(), bool(match[3])
    found.append(("text", source[at:].lstrip() if trims else source[at:]))
    return found


def tokens(action):
    found, at = [], 0
    while at < len(action.rstrip()):
        match = TOKEN.match(action, at)
        if match is None:
            raise TemplateError(f"cannot read {action!r} at {action[at:]!r}")
        found.append(match.group().strip())
        at = match.end()
    return found


def parse(source, defined):
    """A list of nodes; what is defined goes into `defined`."""
    left = pieces(source)
    nodes, end = body(left, defined)
    if end is not None:
        raise TemplateError(f"{end!r} ends nothing")
    return nodes


def body(left, defined):
    """Nodes up to an `end` or `else` of the block around them, and that word."""
    nodes = []
    while left:
        kind, text = left.pop(0)
        if kind == "text":
            nodes.append(("text", text))
            continue
        words = tokens(text)
        match words[0]:
            case "end" | "else":
                return nodes, words
            case "if":
                nodes.append(branches(words[1:], left, defined))
            case "range" | "with":
                inner, end = body(left, defined)
                if end != ["end"]:
                    raise TemplateError(f"{text}: {end} is not known here")
                nodes.append((words[0], words[1:], inner))
            case "define":
                inner, end = body(left, defined)
                defined[words[1][1:-1]] = inner
            case _ if words[1:2] == [":="]:
                nodes.append(("set", words[0], words[2:]))
            case _:
                nodes.append(("print", words))
    return nodes, None


def branches(condition, left, defined):
    then, end = body(left, defined)
    if end is None:
        raise TemplateError(f"if {condition} has no end")
    if end == ["end"]:
        return ("if", condition, then, [])
    if end[1:2] == ["if"]:
        return ("if", condition, then, [branches(end[2:], left, defined)])
    otherwise, end = body(left, defined)
    if end != ["end"]:
        raise TemplateError(f"the else of {condition} has no end")
    return ("if", condition, then, otherwise)


class Renderer:
    """Renders the templates of one chart with one set of values."""

    def __init__(self, root, files):
        self.root, self.files, self.defined = root, files, {}
        self.functions = {
            "include": lambda name, dot: self.run(self.defined[name], dot, {}),
            "default": lambda other, value: value or other,
            "quote": lambda value: '"' + text_of(value).replace("\\", "\\\\").replace('"', '\\"') + '"',
            "printf": lambda form, *values: form % tuple(text_of(value) for value in values),
            "toYaml": lambda value: yaml.safe_dump(value, default_flow_style=False).rstrip("\n"),
            "nindent": lambda count, text: "\n" + indented(count, text),
            "indent": indented,
            "not": lambda value: not value,
            "and": lambda *values: next((value for value in values if not value), values[-1]),
            "or": lambda *values: next((value for value in values if value), values[-1]),
            "eq": lambda one, *others: one in others,
        }

    def load(self, source):
        return parse(source, self.defined)

    def run(self, nodes, dot, variables):
        out = []
        for node in nodes:
            match node:
                case ("text", text):
                    out.append(text)
                case ("print", words):
                    out.append(text_of(self.value(words, dot, variables)))
                case ("set", name, words):
                    variables[name] = self.value(words, dot, variables)
                case ("if", condition, then, otherwise):
                    chosen = then if self.value(condition, dot, variables) else otherwise
                    out.append(self.run(chosen, dot, variables))
                case ("with", words, inner):
                    value = self.value(words, dot, variables)
                    out.append(self.run(inner, value, variables) if value else "")
                case ("range", words, inner):
                    values = self.value(words, dot, variables) or []
                    out += [self.run(inner, value, variables) for value in values]
        return "".join(out)

    def value(self, words, dot, variables):
        value, left = self.pipeline(list(words), dot, variables)
        if left:
            raise TemplateError(f"{words}: nothing is known of {left}")
        return value

    def pipeline(self, left, dot, variables):
        """What a pipeline is worth, and the words behind it."""
        piped = []
        while True:
            operands = []
            while left and left[0] not in ("|", ")"):
                word = left.pop(0)
                if word == "(":
                    operand, left = self.pipeline(left, dot, variables)
                    left.pop(0)
                    operands.append(operand)
                else:
                    operands.append(self.operand(word, dot, variables))
            first, *arguments = operands + piped
            if callable(first):
                first = first(*arguments)
            elif arguments:
                raise TemplateError(f"{first!r} takes no {arguments}")
            if not left or left[0] == ")":
                return first, left
            left.pop(0)
            piped = [first]

    def operand(self, word, dot, variables):
        if word.startswith('"'):
            return word[1:-1].replace('\\"', '"')
        if word.isdigit():
            return int(word)
        if word in ("true", "false"):
            return word == "true"
        if word == ".Files.Get":
            return lambda path: self.files[path]
        if word[0] in ".$":
            name, *path = word.split(".")
            start = dot if name == "" else self.root if name == "$" else variables[name]
            for step in filter(None, path):
                if not isinstance(start, dict) or step not in start:
                    raise TemplateError(f"{word}: there is no {step}")
                start = start[step]
            return start
        if word in self.functions:
            return self.functions[word]
        raise TemplateError(f"{word} is not known here")


def indented(count, text):
    return "\n".join(" " * count + line for line in text.split("\n"))


def text_of(value):
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
