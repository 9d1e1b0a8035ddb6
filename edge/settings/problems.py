"""Mistakes in a file, each with its place, all in one run."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake, with its place for an editor and a technician."""

    file: Path
    line: int
    column: int
    # Where in the document: `connection[0].device[1].point.air_temperature.offset`; empty for the whole file.
    path: str
    message: str

    def __str__(self) -> str:
        return self.text()

    def text(self, severity: str = "") -> str:
        """Return `file:line:column: path: message`, the form of compilers, which editors know."""
        parts = (f"{self.file}:{self.line}:{self.column}", severity, self.path, self.message)
        return ": ".join(part for part in parts if part)


class ConfigurationInvalid(Exception):  # noqa: N818 - the vocabulary's words
    """The site file, or a profile it names, has mistakes. Remedy: a person corrects them; all are listed."""

    def __init__(self, problems: list[Problem]) -> None:
        # A mistake that several devices share through one profile is one mistake.
        self.problems = sorted(
            dict.fromkeys(problems), key=lambda problem: (str(problem.file), problem.line, problem.column)
        )
        super().__init__("\n".join(str(problem) for problem in self.problems))
