"""What a download or a check of one found."""

from dataclasses import dataclass
from pathlib import Path

from dbeta_lib.errors import DBetaError

_SHOWN = 5  # names in a line


@dataclass(frozen=True)
class Summary:
    """Paths are those below `folder`, sorted."""

    name: str
    folder: Path
    right: int = 0  # files that have the published content
    fetched: int = 0  # of all, files that this call fetched
    bytes: int = 0  # of these
    unchecked: tuple[str, ...] = ()  # there, and no hash is published or recorded to compare with
    left_out: tuple[str, ...] = ()  # parts (one rate, one source) that are not there at all
    not_needed: tuple[str, ...] = ()  # missing, and the kit does not read them
    missing: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()  # another content than published
    too_large: tuple[str, ...] = ()  # larger than published, not even hashed
    extra: tuple[str, ...] = ()  # on no list, left alone

    def problem(self) -> str:
        """One sentence when something is missing or wrong, else ""."""
        found = [
            f"{len(paths)} {word} ({paths[0]}{', ...' if len(paths) > 1 else ''})"
            for word, paths in (
                ("missing", self.missing), ("wrong", self.wrong), ("too large", self.too_large)
            )
            if paths
        ]  # fmt: skip
        if not found:
            return ""
        remedy = f"dbeta download {self.name} {self.folder} fetches these files alone"
        return f"{self.folder} is not {self.name} as published: {', '.join(found)}; {remedy}"

    def check(self) -> "Summary":
        """This summary. Raises DBetaError with `problem` when there is one."""
        if self.problem():
            raise DBetaError(self.problem())
        return self

    def __str__(self) -> str:
        lines = [f"{self.folder}: {self.right} files as published"]
        if self.fetched:
            lines[0] += f", {self.fetched} fetched now ({readable(self.bytes)})"
        for words, paths in (
            ("with no published hash to compare with", self.unchecked),
            ("left out whole", self.left_out),
            ("missing, not needed by the kit", self.not_needed),
            ("missing", self.missing),
            ("wrong", self.wrong),
            ("too large", self.too_large),
            ("on no list", self.extra),
        ):
            if paths:
                shown = ", ".join(paths[:_SHOWN]) + (", ..." if len(paths) > _SHOWN else "")
                lines.append(f"{len(paths)} {words}: {shown}")
        return "\n".join(lines)


def readable(size: float) -> str:
    """Bytes for people, in powers of ten: "1.7 GB"."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
