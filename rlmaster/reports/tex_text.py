"""Text from anywhere as LaTeX that shows it: nothing in it is obeyed, and nothing breaks pdflatex.

What the T1 encoding knows stays as it is, common symbols become commands, and any other character
shows as its code point, such as U+1F600.
"""

import re
import unicodedata

LONG_WORD = 30
"""Characters from which on a word may be broken without a hyphen."""
SYLLABLE = 6
"""Characters between the places where a long part without joints may be broken."""

ESCAPE_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # colours and cursor movements
    r"|\x1b[\]PX^_][^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"  # titles, links and other strings
    r"|\x1b[ -/]*[0-~]?"
)
JOINED_PART = re.compile(r"[^/._\-:=,;+&?@|]*[/._\-:=,;+&?@|]|[^/._\-:=,;+&?@|]+")
CLUSTER = re.compile(r"(?s).[\u0300-\u036f]*")
PARAGRAPH = re.compile(r"\n[ \t]*\n|\n(?=[ \t]*(?:[-*+•]|\d+[.)]) )")
SCIENTIFIC = re.compile(r"\b(\d(?:\.\d+)?)e([+-]\d+)\b")

COMMANDS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    '"': r"\textquotedbl{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "\N{NON-BREAKING HYPHEN}": "-",
    "\N{HYPHEN}": "-",
    "\N{EN DASH}": r"\textendash{}",
    "\N{EM DASH}": r"\textemdash{}",
    "\N{LEFT SINGLE QUOTATION MARK}": r"\textquoteleft{}",
    "\N{RIGHT SINGLE QUOTATION MARK}": r"\textquoteright{}",
    "\N{LEFT DOUBLE QUOTATION MARK}": r"\textquotedblleft{}",
    "\N{RIGHT DOUBLE QUOTATION MARK}": r"\textquotedblright{}",
    "\N{SINGLE LOW-9 QUOTATION MARK}": r"\quotesinglbase{}",
    "\N{DOUBLE LOW-9 QUOTATION MARK}": r"\quotedblbase{}",
    "\N{HORIZONTAL ELLIPSIS}": r"\textellipsis{}",
    "\N{BULLET}": r"\textbullet{}",
    "\N{DAGGER}": r"\textdagger{}",
    "\N{DOUBLE DAGGER}": r"\textdaggerdbl{}",
    "\N{EURO SIGN}": r"\texteuro{}",
    "\N{TRADE MARK SIGN}": r"\texttrademark{}",
}
SMALL_GREEK = """
    alpha beta gamma delta varepsilon zeta eta theta iota kappa lambda mu nu xi mathit{o} pi rho
    varsigma sigma tau upsilon varphi chi psi omega
"""
MATHS = {chr(code): name for code, name in enumerate(SMALL_GREEK.split(), start=0x3B1)} | {
    "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma",
    "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega", "←": "leftarrow", "→": "rightarrow", "↑": "uparrow",
    "↓": "downarrow", "↔": "leftrightarrow", "⇐": "Leftarrow", "⇒": "Rightarrow",
    "⇔": "Leftrightarrow", "∀": "forall", "∃": "exists", "∂": "partial", "∇": "nabla", "∈": "in",
    "∉": "notin", "∏": "prod", "∑": "sum", "−": "mathord{-}", "√": "surd", "∝": "propto",
    "∞": "infty", "∧": "wedge", "\N{LOGICAL OR}": "vee", "∩": "cap", "\N{UNION}": "cup",
    "∫": "int", "\N{TILDE OPERATOR}": "sim", "≈": "approx", "≠": "neq", "≡": "equiv", "≤": "leq",
    "≥": "geq", "≪": "ll", "≫": "gg", "⊂": "subset", "⊆": "subseteq", "⋅": "cdot", "∅": "emptyset",
}  # fmt: skip
"""Symbols that TeX has in mathematics only."""
SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-", strict=True))
SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋", "0123456789+-", strict=True))
ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u",
    "\u0307": ".", "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c",
}  # fmt: skip
"""Combining marks that TeX can put on any letter."""
NOT_IN_T1 = frozenset("ĦħĸĿŀŉŦŧ")


class Tex(str):
    """Text that is LaTeX already, and goes into a template as it is."""

    __slots__ = ()


def escape(text: str) -> Tex:
    """Return LaTeX for one paragraph that shows a text as it is written.

    Terminal escape sequences and invisible characters are left out, and white space is one space.
    """
    return Tex(" ".join(_word(word) for word in clean(text).split()))


def escape_sentence(text: str) -> Tex:
    """Do the same for a sentence of our own, where 4.1e-05 is set as a power of ten."""
    return Tex(SCIENTIFIC.sub(lambda n: rf"${n[1]}\times10^{{{int(n[2])}}}$", escape(text)))


def clean(text: str) -> str:
    """Return a text without terminal escape sequences and other invisible characters."""
    text = ESCAPE_SEQUENCES.sub("", text.replace("\r\n", "\n"))
    return unicodedata.normalize("NFC", "".join(c for c in text if c in "\n\t" or _is_seen(c)))


def paragraphs(text: str) -> list[str]:
    """Split a text at blank lines and before items of a list; other line ends are just spaces."""
    parts = (" ".join(part.split()) for part in PARAGRAPH.split(clean(text)))
    return [part for part in parts if part]


def _is_seen(character: str) -> bool:
    return unicodedata.category(character) not in {"Cc", "Cf"}


def _word(word: str) -> str:
    """Return one word, with places to break it where it is long."""
    breaks = _break_points(word) if len(word) >= LONG_WORD else set[int]()
    pieces: list[str] = []
    for found in CLUSTER.finditer(word):
        if found.start() in breaks:
            pieces.append(r"\allowbreak{}")
        before = word[max(found.start() - 1, 0) : found.start()]
        pieces.append(_cluster(found[0], before, after=word[found.end() : found.end() + 1]))
    return "".join(pieces)


def _break_points(word: str) -> set[int]:
    """Return where a long word may be broken: at its joints, and within parts still too long."""
    points: set[int] = set()
    for part in JOINED_PART.finditer(word):
        points.add(part.start())
        if len(part[0]) >= LONG_WORD:
            points.update(range(part.start(), part.end(), SYLLABLE))
    return points - {0}


def _cluster(cluster: str, before: str, after: str) -> str:
    """Return a character and the marks on it, knowing its neighbours."""
    if cluster == "'" and before.isalpha() and after.isalpha():
        return "'"  # an apostrophe, which typesets as one
    if cluster in {"-", ","} and after == cluster:
        return cluster + "{}"  # `--` and `,,` are ligatures in T1
    if len(cluster) == 1 and (known := _known(cluster)) is not None:
        return known
    base, *marks = unicodedata.normalize("NFD", cluster)
    if len(marks) == 1 and marks[0] in ACCENTS and base.isascii() and base.isalpha():
        return rf"\{ACCENTS[marks[0]]}{{{base}}}"
    return "".join(_known(c) or rf"\codepoint{{{ord(c):04X}}}" for c in cluster)


def _known(character: str) -> str | None:
    """Return the LaTeX of a character that pdflatex has a glyph for."""
    if character in COMMANDS:
        return COMMANDS[character]
    if character in MATHS:
        return rf"$\{MATHS[character]}$"
    if character in SUPERSCRIPTS:
        return f"$^{{{SUPERSCRIPTS[character]}}}$"
    if character in SUBSCRIPTS:
        return f"$_{{{SUBSCRIPTS[character]}}}$"
    is_in_font = " " <= character <= "~" or ("¡" <= character <= "ž" and character not in NOT_IN_T1)
    return character if is_in_font else None
