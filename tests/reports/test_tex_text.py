import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmaster.reports.tex_text import clean, escape, escape_sentence, paragraphs


@pytest.mark.parametrize(
    ("text", "tex"),
    [
        (r"\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        (r"\write18{rm}", r"\textbackslash{}write18\{rm\}"),
        ("100 % of $5 & #1_a^b~", r"100 \% of \$5 \& \#1\_a\textasciicircum{}b\textasciitilde{}"),
        ("don't `do` 'it'", r"don't \textasciigrave{}do\textasciigrave{} \textquotesingle{}it"
         r"\textquotesingle{}"),
        ("a -- b ,, c", "a -{}- b ,{}, c"),
        ("naïve Łódź", "naïve Łódź"),
        ("x\u0302 \u1e91 \u03bb=1 \u2192 10\u207b\u2075", r"\^{x} \^{z} $\lambda$=1 $\rightarrow$ "
         r"10$^{-}$$^{5}$"),
        ("日😀", r"\codepoint{65E5}\codepoint{1F600}"),
        ("a\u0301\u0302\u0302", r"á\codepoint{0302}\codepoint{0302}"),
        ("\ud800 \ufffe", r"\codepoint{D800} \codepoint{FFFE}"),
        ("\x1b[1;31mred\x1b[0m \x1b]0;title\x07ok\x00\u202e\ufeff", "red ok"),
        ("  two \n\t spaces ", "two spaces"),
    ],
)  # fmt: skip
def test_text_shows_as_it_is_written(text, tex):
    assert escape(text) == tex


def test_long_words_can_be_broken():
    assert escape("a" * 29).count("allowbreak") == 0
    assert escape("a" * 60).count("allowbreak") == 9
    assert escape("recording.embedder.latent_normalisation") == (
        r"recording.\allowbreak{}embedder.\allowbreak{}latent\_\allowbreak{}normalisation"
    )


def test_powers_of_ten_are_set_in_our_own_sentences():
    assert escape_sentence("from 4.18e-05.") == r"from $4.18\times10^{-5}$."


def test_paragraphs_and_list_items_are_kept():
    assert paragraphs("one\nline\n\n\n- first\n- second\n  part\n2. third") == [
        "one line", "- first", "- second part", "2. third",
    ]  # fmt: skip


ALLOWED = re.compile(
    r"""\\(?:textbackslash|textasciicircum|textasciitilde|textasciigrave|textquotesingle
        |textquotedbl|textless|textgreater|textbar|textendash|textemdash|textquoteleft
        |textquoteright|textquotedblleft|textquotedblright|quotesinglbase|quotedblbase
        |textellipsis|textbullet|textdagger|textdaggerdbl|texteuro|texttrademark|allowbreak)\{\}
      |\\codepoint\{[0-9A-F]{4,6}\} |\\[{}$&\#%_] |\\[`'^~=.ucvrH"]\{[A-Za-z]\}
      |\$\\[A-Za-z]+(?:\{[o-]\})?\$ |\$[\^_]\{[0-9+-]\}\$
      |[-,]\{\} |[^\\{}$&\#%_^~`"<>|]""",
    re.VERBOSE,
)


@given(st.text(max_size=200) | st.text(alphabet=r"\{}$&#%_^~`'\"<>|-,ab ", max_size=60))
def test_nothing_but_known_commands_comes_out(text):
    tex = escape(text)
    assert ALLOWED.sub("", tex) == ""
    tex.encode()  # no half of a surrogate pair is left


@given(st.text(max_size=100))
def test_no_control_character_survives(text):
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", clean(text))
