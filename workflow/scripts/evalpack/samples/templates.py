"""Prompt templates: Jinja2 over a sample's columns, strict about what is missing."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
from jinja2 import meta
from jinja2.sandbox import SandboxedEnvironment

from evalpack.errors import UserError
from evalpack.samples.countries import country_name
from evalpack.samples.topics import TOPICS
from evalpack.samples.values import BadValue

TEMPLATES = Path("config/templates")
DEFAULT_TEMPLATE = "moral_rating.j2"


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """A template that is read and compiled.

    Attributes:
        source: its text.
        digest: SHA-256 (hex) of its text.
        variables: the names that the template takes from the sample.
    """

    name: str
    source: str
    digest: str
    variables: frozenset[str]
    _template: jinja2.Template = field(repr=False)

    def render(self, columns: Mapping[str, object]) -> str:
        """The prompt for a sample with these columns.

        `topic` (from `question`) and `country_name` (from `country`; None without one) are added,
        unless the sample has columns of these names.

        Raises:
            BadValue: if the template needs what the sample lacks, or fails.
        """
        try:
            return self._template.render(self._with_names(columns))
        except jinja2.UndefinedError as error:
            raise BadValue(
                f"template {self.name}: {error.message}{_hint(str(error), columns)}"
            ) from None
        except BadValue as error:
            raise BadValue(f"template {self.name}: {error}") from None
        except Exception as error:  # a template is the user's code: it can raise anything
            raise BadValue(f"template {self.name} fails: {type(error).__name__}: {error}") from None

    def _with_names(self, columns: Mapping[str, object]) -> dict[str, object]:
        names = dict(columns)
        if "topic" in self.variables and "topic" not in names:
            topic = TOPICS.get(str(names.get("question")))
            if topic is not None:
                names["topic"] = topic
        if "country_name" in self.variables and "country_name" not in names:
            country = names.get("country")
            names["country_name"] = None if country is None else country_name(str(country))
        return names


def find_template(name: str, templates: Path = TEMPLATES) -> Path | None:
    """The file that `name` means: one in `templates`, or else a path; None if neither."""
    return next((path for path in (templates / name, Path(name)) if path.is_file()), None)


def resolve_template(name: str, templates: Path = TEMPLATES) -> Path:
    """The file that `name` means, as `find_template` has it.

    Raises:
        UserError: naming the templates that there are.
    """
    if (path := find_template(name, templates)) is not None:
        return path
    known = ", ".join(sorted(path.name for path in templates.glob("*.j2"))) or "none"
    raise UserError(
        f"no template {name!r}: it is neither a path nor a file in {templates} (there: {known})"
    )


def load_template(name: str, templates: Path = TEMPLATES) -> PromptTemplate:
    """Read and compile a template.

    Raises:
        UserError: if it is not there, not UTF-8 or not valid Jinja2 (naming the line).
    """
    path = resolve_template(name, templates)
    try:
        source = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"template {path} is not UTF-8: save it as UTF-8") from None
    return compile_template(name, source, where=str(path))


def compile_template(name: str, source: str, where: str | None = None) -> PromptTemplate:
    """Compile the text of a template; `where` is what errors call it.

    Raises:
        UserError: if it is not valid Jinja2 (naming the line), or needs another template.
    """
    environment = SandboxedEnvironment(
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # prompts are text, not HTML
        keep_trailing_newline=False,
        finalize=_refuse_none,
    )
    where = where or name
    try:
        syntax = environment.parse(source)
        template = environment.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise UserError(f"template {where}, line {error.lineno}: {error.message}") from None
    if any(True for _ in meta.find_referenced_templates(syntax)):
        # The digest of one file must stand for the whole text.
        raise UserError(f"template {where} includes or extends another: put everything in one file")
    variables = frozenset(meta.find_undeclared_variables(syntax))
    digest = hashlib.sha256(source.encode()).hexdigest()
    return PromptTemplate(name, source, digest, variables, template)


def _refuse_none(value: object) -> object:
    if value is None:
        raise BadValue(
            "prints a column that is empty here: guard it with {% if ... %} or fill the column"
        )
    return value


def _hint(problem: str, columns: Mapping[str, object]) -> str:
    if problem.startswith("'topic'"):
        question = columns.get("question")
        which = (
            "the sample has no question"
            if question is None
            else f"question {question!r} has no built-in topic"
        )
        return f" ({which}: add a column 'topic')"
    return f" (the sample's columns are {', '.join(columns)})"
