"""Every warning, in English and Chinese. Codes are stable; docs/cleaning.md explains each and its fix."""

from collections.abc import Mapping
from enum import StrEnum


class WarningCode(StrEnum):
    """Stable names of the things a report warns about."""

    EXTENSION_MISMATCH = "EXTENSION_MISMATCH"
    ENCODING_GUESSED = "ENCODING_GUESSED"
    ENCODING_ERRORS = "ENCODING_ERRORS"
    PREAMBLE_SKIPPED = "PREAMBLE_SKIPPED"
    NOTES_BELOW = "NOTES_BELOW"
    HEADER_MISSING = "HEADER_MISSING"
    HEADER_JOINED = "HEADER_JOINED"
    HEADER_BLANK = "HEADER_BLANK"
    HEADER_DUPLICATE = "HEADER_DUPLICATE"
    BLANK_COLUMNS = "BLANK_COLUMNS"
    BLANK_ROWS = "BLANK_ROWS"
    RAGGED_ROWS = "RAGGED_ROWS"
    UNCLOSED_QUOTE = "UNCLOSED_QUOTE"
    OTHER_DELIMITER = "OTHER_DELIMITER"
    CELL_TOO_LONG = "CELL_TOO_LONG"
    MERGED_FILLED = "MERGED_FILLED"
    MERGED_ACROSS = "MERGED_ACROSS"
    ERROR_CELLS = "ERROR_CELLS"
    FORMULAS_WITHOUT_VALUES = "FORMULAS_WITHOUT_VALUES"
    HIDDEN_ROWS = "HIDDEN_ROWS"
    HIDDEN_COLUMNS = "HIDDEN_COLUMNS"
    OTHER_SHEETS = "OTHER_SHEETS"
    LONG_NUMBERS = "LONG_NUMBERS"
    MIXED_TYPES = "MIXED_TYPES"
    DATE_ORDER_AMBIGUOUS = "DATE_ORDER_AMBIGUOUS"
    DATE_SERIALS = "DATE_SERIALS"
    SHORT_YEARS = "SHORT_YEARS"
    NUMBER_FORMAT_AMBIGUOUS = "NUMBER_FORMAT_AMBIGUOUS"
    UNITS_ROW = "UNITS_ROW"
    REPEATED_HEADER = "REPEATED_HEADER"
    SECOND_TABLE = "SECOND_TABLE"
    SIDE_TABLE = "SIDE_TABLE"
    TOTALS_ROW = "TOTALS_ROW"
    DUPLICATE_ROWS = "DUPLICATE_ROWS"


_MESSAGES: dict[WarningCode, tuple[str, str]] = {
    WarningCode.EXTENSION_MISMATCH: (
        "The name ends in {extension} but the content is {detected}; it was read as {detected}.",
        "文件扩展名为 {extension}，但内容是 {detected}；已按 {detected} 读取。",
    ),
    WarningCode.ENCODING_GUESSED: (
        "The text is not UTF-8; it was read as {encoding}. Save as UTF-8 to be certain.",
        "文本不是 UTF-8，已按 {encoding} 读取；另存为 UTF-8 可避免猜测。",
    ),
    WarningCode.ENCODING_ERRORS: (
        "{count} line(s) hold bytes that are not {encoding}; each such byte is kept as \\xNN.",
        "有 {count} 行包含不属于 {encoding} 的字节，已按 \\xNN 原样保留。",
    ),
    WarningCode.PREAMBLE_SKIPPED: (
        "{count} row(s) above the header are not part of the table; their text is in rejects.parquet.",
        "表头上方有 {count} 行不属于表格，其文字保存在 rejects.parquet 中。",
    ),
    WarningCode.NOTES_BELOW: (
        "{count} row(s) of notes below the table are not part of it; their text is in rejects.parquet.",
        "表格下方有 {count} 行备注不属于表格，其文字保存在 rejects.parquet 中。",
    ),
    WarningCode.HEADER_MISSING: (
        "No header row was found; columns are numbered and every row is data.",
        "未找到表头，已为各列编号，所有行均作为数据。",
    ),
    WarningCode.HEADER_JOINED: (
        "The header spans {count} rows; their texts were joined with an underscore.",
        "表头占 {count} 行，已用下划线连接为列名。",
    ),
    WarningCode.HEADER_BLANK: (
        "{count} column(s) have no header and were numbered: {names}.",
        "有 {count} 列没有表头，已编号命名：{names}。",
    ),
    WarningCode.HEADER_DUPLICATE: (
        "{count} header(s) repeat an earlier one and were numbered: {names}.",
        "有 {count} 个重复的表头，已编号区分：{names}。",
    ),
    WarningCode.BLANK_COLUMNS: (
        "{count} column(s) without header and values were left out: {names}.",
        "有 {count} 列既无表头也无数据，已略去：{names}。",
    ),
    WarningCode.BLANK_ROWS: (
        "{count} blank row(s) inside the table were left out.",
        "表格中有 {count} 个空行，已略去。",
    ),
    WarningCode.RAGGED_ROWS: (
        "{count} row(s) do not have {width} cells; short rows were padded, extra cells are in rejects.parquet.",
        "有 {count} 行的单元格数不是 {width}；不足的已补空，多出的单元格保存在 rejects.parquet 中。",
    ),
    WarningCode.UNCLOSED_QUOTE: (
        "{count} row(s) have a quote that does not pair up; it was kept as an ordinary character.",
        "有 {count} 行的引号不成对，已作为普通字符保留。",
    ),
    WarningCode.OTHER_DELIMITER: (
        "{count} row(s) separate their cells by another delimiter than the table; they were read by that.",
        "有 {count} 行使用了与全表不同的分隔符，已按其自身的分隔符读取。",
    ),
    WarningCode.CELL_TOO_LONG: (
        "{count} cell(s) of {column} are longer than {limit} characters; they are whole in rejects.parquet.",
        "列 {column} 有 {count} 个单元格超过 {limit} 个字符，全文保存在 rejects.parquet 中。",
    ),
    WarningCode.MERGED_FILLED: (
        "{count} cell(s) of {column} were filled down from vertically merged cells.",
        "列 {column} 有 {count} 个单元格由纵向合并单元格向下填充。",
    ),
    WarningCode.MERGED_ACROSS: (
        "{count} merged range(s) in the table span several columns; the value stays in the first one.",
        "表格中有 {count} 个跨列合并区域，值保留在第一列。",
    ),
    WarningCode.ERROR_CELLS: (
        "{count} cell(s) of {column} hold spreadsheet errors ({codes}) and became empty.",
        "列 {column} 有 {count} 个单元格是公式错误（{codes}），已置空。",
    ),
    WarningCode.FORMULAS_WITHOUT_VALUES: (
        "{count} formula(s) have no stored value and read as empty; open and save the workbook to store them.",
        "有 {count} 个公式没有缓存值，读作空；请在表格软件中打开并保存。",
    ),
    WarningCode.HIDDEN_ROWS: (
        "{count} hidden row(s) are part of the result.",
        "有 {count} 个隐藏行，已包含在结果中。",
    ),
    WarningCode.HIDDEN_COLUMNS: (
        "{count} hidden column(s) are part of the result.",
        "有 {count} 个隐藏列，已包含在结果中。",
    ),
    WarningCode.OTHER_SHEETS: (
        "Only one sheet was converted; {count} other(s) were not: {names}.",
        "只转换了一个工作表，另有 {count} 个未转换：{names}。",
    ),
    WarningCode.LONG_NUMBERS: (
        "{count} number(s) of {column} have more than 15 digits; a spreadsheet stores only 15, check the last ones.",
        "列 {column} 有 {count} 个数字超过 15 位；电子表格只保存 15 位，请核对末尾数字。",
    ),
    WarningCode.MIXED_TYPES: (
        "{column} stays text: {parsed} of {values} values read as {candidate}, {count} do not (e.g. {example}).",
        "列 {column} 保留为文本：{values} 个值中 {parsed} 个可读作 {candidate}，{count} 个不能（如 {example}）。",
    ),
    WarningCode.DATE_ORDER_AMBIGUOUS: (
        "{column} stays text: nothing in the column tells day from month (e.g. {example}).",
        "列 {column} 保留为文本：无法判断日与月的顺序（如 {example}）。",
    ),
    WarningCode.DATE_SERIALS: (
        "{count} cell(s) of {column} are spreadsheet day numbers among dates and were read as dates.",
        "列 {column} 有 {count} 个单元格是日期序列号，已按日期读取。",
    ),
    WarningCode.SHORT_YEARS: (
        "{column} stays text: years of two digits leave the century open (e.g. {example}).",
        "列 {column} 保留为文本：两位数年份无法确定世纪（如 {example}）。",
    ),
    WarningCode.NUMBER_FORMAT_AMBIGUOUS: (
        "{column} stays text: nothing tells whether its commas are decimal marks (e.g. {example}).",
        "列 {column} 保留为文本：无法判断逗号是否为小数点（如 {example}）。",
    ),
    WarningCode.UNITS_ROW: (
        "A row of units below the header is not part of the table; {count} column(s) carry their unit.",
        "表头下方的单位行不计入数据；{count} 列已记录其单位。",
    ),
    WarningCode.REPEATED_HEADER: (
        "{count} row(s) repeat the header; they are not part of the table but in rejects.parquet.",
        "有 {count} 行重复了表头，不计入数据，保存在 rejects.parquet 中。",
    ),
    WarningCode.SECOND_TABLE: (
        "Another table seems to begin at row {first}; its {count} row(s) are in rejects.parquet, not in the result.",
        "第 {first} 行起似为另一张表；其 {count} 行保存在 rejects.parquet 中，不在结果内。",
    ),
    WarningCode.SIDE_TABLE: (
        "An empty column separates {names} from the columns before: perhaps a second table, read as one.",
        "空列将 {names} 与前面的列隔开：可能是并排的另一张表，已合并读取。",
    ),
    WarningCode.TOTALS_ROW: (
        "{count} row(s) look like totals; they are part of the result.",
        "有 {count} 行疑似合计行，已包含在结果中。",
    ),
    WarningCode.DUPLICATE_ROWS: (
        "{count} row(s) repeat an earlier row in every column; they are part of the result.",
        "有 {count} 行与前面的行完全相同，已包含在结果中。",
    ),
}


def message_en(code: WarningCode, values: Mapping[str, object]) -> str:
    """The English sentence for ``code``, filled with ``values``."""
    return _MESSAGES[code][0].format_map(values)


def message_zh(code: WarningCode, values: Mapping[str, object]) -> str:
    """The Chinese sentence for ``code``, filled with ``values``."""
    return _MESSAGES[code][1].format_map(values)
