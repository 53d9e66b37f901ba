"""Which encoding a text file is in: BOM, strict UTF-8, UTF-16 by its NULs, then scored legacy encodings.

UTF-8 is decided over the whole file, never a sample: a file that is ASCII for its first megabyte may hold
GB18030 after it. Legacy encodings are scored on the lines that hold non-ASCII bytes, wherever those are.
"""

import codecs
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_CHUNK_BYTES = 1 << 20
_EVIDENCE_BYTES = 1 << 18
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

_WITHOUT_BOM = {"utf-8-sig": "utf-8", "ascii": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}

# Frequent characters of clinical tables and of plain prose; a decoding that yields them is likely right.
_SIMPLIFIED = frozenset(
    "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后"
    "多定行学法所民得经十三之进着等部度家电力里如水化高自二理起小物现实加量都两体制机当使点从业本去把性好应开它合"
    "姓名性别年龄住院号病历日期时间诊断男女岁血压收缩舒张心率体温身高重检验结果阴阳科室医患者入备注编项目无未见异常"
    "张王李赵刘陈杨黄吴周正是否已治疗药剂量单位次数细胞红白蛋肝肾糖尿氧饱呼吸脉搏手术"
)
_TRADITIONAL = frozenset(
    "的一是在不了有和人這中大為上個國我以要他時來用們生到作地於出就分對成會可主發年動同工也能下過子說產種面而方後"
    "多定行學法所民得經十三之進著等部度家電力裡如水化高自二理起小物現實加量都兩體制機當使點從業本去把性好應開它合"
    "姓名性別年齡住院號病歷日期時間診斷男女歲血壓收縮舒張心率體溫身高重檢驗結果陰陽科室醫患者入備註編項目無未見異常"
    "張王李趙劉陳楊黃吳周正是否已治療藥劑量單位次數細胞紅白蛋肝腎糖尿氧飽呼吸脈搏手術"
)
_WESTERN = frozenset("éèêëàâäáãåçôöóòõøùûüúîïíìñßæœÉÈÀÂÄÖÜÁÍÓÚÑÇŞşğışß°µ±²³½«»’“”–—…€£ª·×")


@dataclass(frozen=True)
class Encoding:
    """A codec name Python knows, the BOM's length in bytes, and how sure the name is (1: certain)."""

    name: str
    bom_bytes: int = 0
    confidence: float = 1.0


def detect(path: Path) -> Encoding | None:
    """The encoding of the text file at ``path``, or None when no encoding makes text of it."""
    with path.open("rb") as file:
        start = file.read(4096)
    for bom, name in _BOMS:
        if start.startswith(bom):
            return Encoding(name, len(bom))
    if wide := _wide_encoding(start):
        return Encoding(wide)
    valid_utf8, evidence = _collect(path)
    if valid_utf8:
        return Encoding("utf-8")
    return _best_legacy(evidence)


def as_asked(start: bytes, name: str) -> Encoding:
    """The encoding the caller asked for; a BOM of that encoding in ``start`` is skipped and settles the byte order."""
    for bom, found in _BOMS:
        if start.startswith(bom) and found.startswith(name.removesuffix("-sig")):
            return Encoding(found, len(bom))
    return Encoding(_WITHOUT_BOM.get(name, name))


def _wide_encoding(start: bytes) -> str | None:
    """UTF-16 without a BOM: mostly-ASCII text has a NUL in every second byte."""
    pairs = len(start) // 2
    if pairs < 2 or b"\0" not in start:
        return None
    even_nuls = start[0 : pairs * 2 : 2].count(0) / pairs
    odd_nuls = start[1 : pairs * 2 : 2].count(0) / pairs
    for name, high, low in (("utf-16-le", odd_nuls, even_nuls), ("utf-16-be", even_nuls, odd_nuls)):
        if high > 0.2 and low < 0.05 and _decodes(start[: pairs * 2], name):
            return name
    return None


def _decodes(data: bytes, name: str) -> bool:
    """Whether ``data``, perhaps cut inside its last character, is valid in encoding ``name``."""
    try:
        codecs.getincrementaldecoder(name)().decode(data)
    except UnicodeDecodeError:
        return False
    return True


def _collect(path: Path) -> tuple[bool, bytes]:
    """Whether the whole file is valid UTF-8, and up to 256 KiB of its lines that are not ASCII."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    valid, evidence = True, bytearray()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            if chunk.isascii() and not (valid and decoder.getstate()[0]):
                continue
            if valid:
                try:
                    decoder.decode(chunk)
                except UnicodeDecodeError:
                    valid = False
            if len(evidence) < _EVIDENCE_BYTES:
                for line in chunk.splitlines(keepends=True):
                    if not line.isascii():
                        evidence += line[:4096]
            elif not valid:
                break
    if valid and decoder.getstate()[0]:
        valid = False
    return valid, bytes(evidence[:_EVIDENCE_BYTES])


def _best_legacy(evidence: bytes) -> Encoding | None:
    """The encoding under which the evidence looks most like text; ties go to the earlier candidate."""
    lines = evidence.splitlines()[:2000]
    best, best_score = None, 0.0
    for name, weigh in _CANDIDATES:
        score = _score(lines, name, weigh)
        if score > best_score + 1e-9:
            best, best_score = name, score
    if best and best_score >= 0.2:
        return Encoding(best, confidence=round(min(best_score, 0.99), 2))
    return Encoding("cp1252", confidence=0.2) if _is_mostly_ascii(evidence) else None


def _is_mostly_ascii(evidence: bytes) -> bool:
    """A few signs among plain text say nothing of the encoding, but binary data would hold control characters too."""
    controls = len(evidence.translate(None, bytes(range(9, 14)) + bytes(range(26, 32)) + bytes(range(32, 256))))
    return not controls and len(evidence.translate(None, bytes(range(128)))) < 0.3 * len(evidence)


def _score(lines: list[bytes], name: str, weigh: Callable[[str, bool], float]) -> float:
    """Mean weight of the non-ASCII characters, scaled by the share of lines that decode at all."""
    total, chars, decoded = 0.0, 0, 0
    for line in lines:
        try:
            text = line.decode(name)
        except UnicodeDecodeError:
            continue
        decoded += 1
        for index, char in enumerate(text):
            if char > "\x7f":
                alone = not text[index - 1 : index] > "\x7f" and not text[index + 1 : index + 2] > "\x7f"
                total += weigh(char, alone)
                chars += 1
    if not chars or decoded < 0.5 * len(lines):
        return 0.0
    return total / chars * (decoded / len(lines)) ** 2


def _weigh_utf8(_char: str, _alone: bool) -> float:
    return 1.0


def _weigh_simplified(char: str, _alone: bool) -> float:
    if char in _SIMPLIFIED:
        return 1.0
    if char in "，。：；（）％、“”℃—·～！？《》　":
        return 0.8
    return 0.55 if _lead_between(char, "gb2312", 0xB0, 0xD7) else 0.05


def _weigh_traditional(char: str, _alone: bool) -> float:
    if char in _TRADITIONAL:
        return 1.0
    if char in "，。：；（）％、「」℃—·！？　":
        return 0.8
    return 0.5 if _lead_between(char, "big5", 0xA4, 0xC6) else 0.05


def _weigh_japanese(char: str, _alone: bool) -> float:
    if "\u3041" <= char <= "\u30fe":
        return 1.0
    if "\uff61" <= char <= "\uff9f":  # half-width kana: what random bytes decode to
        return 0.15
    return 0.5 if _lead_between(char, "shift_jis", 0x88, 0x97) else 0.05


def _weigh_korean(char: str, _alone: bool) -> float:
    return 0.75 if "\uac00" <= char <= "\ud7a3" else 0.0


def _weigh_western(char: str, alone: bool) -> float:
    if char in _WESTERN:
        return 0.9 if alone else 0.35
    return 0.0


def _weigh_cyrillic(char: str, alone: bool) -> float:
    if "а" <= char <= "я":
        return 0.1 if alone else 0.8
    return 0.5 if "А" <= char <= "Я" else 0.0


def _lead_between(char: str, name: str, low: int, high: int) -> bool:
    """Whether ``char`` lies in the rows of double-byte set ``name`` that hold its everyday characters."""
    try:
        encoded = char.encode(name)
    except UnicodeEncodeError:
        return False
    return len(encoded) == 2 and low <= encoded[0] <= high


_CANDIDATES: tuple[tuple[str, Callable[[str, bool], float]], ...] = (
    ("utf-8", _weigh_utf8),
    ("gb18030", _weigh_simplified),
    ("big5hkscs", _weigh_traditional),
    ("cp932", _weigh_japanese),
    ("euc_jp", _weigh_japanese),
    ("cp949", _weigh_korean),
    ("cp1252", _weigh_western),
    ("cp1251", _weigh_cyrillic),
)
