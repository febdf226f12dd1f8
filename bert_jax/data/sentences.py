"""Rule-based sentence splitting. Paragraphs end at line ends."""

import re

# A longer run without a sentence end is cut at a space.
LONGEST = 2000

# A sentence end is a run of marks with optional closing quotes, then space, opening
# quotes and a word; or a Chinese or Japanese full stop, which needs no space. All
# quantifiers are possessive and no match starts inside a run, so time is linear.
_END = re.compile(
    r"""(?<![.!?…؟۔।])(?P<mark>[.!?…؟۔।]++)(?P<closing>["'”’»)\]_*]*+)\s++"""
    r"""(?=(?P<opening>["'“‘«(\[_*–—-]*+)(?P<next>\w*+))"""
    r"""|[。！？｡．]++["'”’」』）》】]*+\s*+"""
)
_WORD = re.compile(r"\S*\Z")
# An initial, or U.S and Ph.D without the last period.
_DOTTED = re.compile(r"(?:[^\W\d_]{1,2}\.)*[^\W\d_]")
_CUT = re.compile(rf"\S.{{0,{LONGEST - 2}}}\S(?=\s|\Z)|\S{{1,{LONGEST}}}", re.DOTALL)

# Abbreviations before a name or number, which never end a sentence.
_NEVER = re.compile(
    r"Mrs?|Ms|Dr|Prof|Revd?|Hon|St|Mt|Ft|Messrs|Mme|Mlle|Capt|Col|Gen|Lt|Maj|Serg?t|"
    r"Sgt|Cpl|Gov|Sen|Rep|Pres|Supt|Insp|Adm|Cmdr|Fr|Bros|Mgr|e\.?g|i\.?e|cf|vs|viz|al"
)
# Abbreviations that end a sentence unless a number follows.
_NUMBERED = re.compile(
    r"[Nn]os?|pp?|P|[Vv]ols?|[Ff]igs?|[Cc]h(ap)?|[Ss]ec|[Aa]rt|[Ee]q|ca?|"
    r"Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec"
)
# After initials and acronyms, only these words begin a new sentence.
_STARTERS = re.compile(
    r"A|After|All|And|As|At|But|By|For|From|He|Her|His|However|I|If|In|Its?|Meanwhile|"
    r"My|No|Not|Now|On|One|Our|She|So|Some|Such|That|The|Their|Then|There|These|They|"
    r"This|Those|To|We|What|When|Where|While|Who|Why|With|Yes|Yet|Your?"
)


def sentences(text: str) -> list[str]:
    """Split a text into its sentences, stripped, none empty."""
    spans = []
    for paragraph in text.split("\n"):
        cased = not paragraph.islower()  # in lowercased corpora case is no cue
        start = 0
        for match in _END.finditer(paragraph):
            if match["mark"] is None or _ends(paragraph, match, cased):
                spans.append(paragraph[start : match.end()])
                start = match.end()
        spans.append(paragraph[start:])
    return [part for sentence in spans for part in _bounded(sentence.strip())]


def _ends(paragraph: str, match: re.Match[str], cased: bool) -> bool:
    following = match["next"] or "_" * ("_" in match["opening"])
    if not following:
        return False
    if cased and following[0].islower():
        return False
    if match["mark"] != "." or match["closing"]:
        return True
    before = _WORD.search(paragraph[max(0, match.start() - 20) : match.start()])
    word = before[0].lstrip("\"'“‘«([_*-–—") if before else ""
    if _NEVER.fullmatch(word):
        return False
    if _NUMBERED.fullmatch(word):
        return not following[0].isdigit()
    return bool(_STARTERS.fullmatch(following)) or not _DOTTED.fullmatch(word)


def _bounded(sentence: str) -> list[str]:
    if len(sentence) <= LONGEST:
        return [sentence] if sentence else []
    return _CUT.findall(sentence)
