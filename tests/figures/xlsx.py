"""What a spreadsheet file has in it, read by ECMA-376 with nothing but Python's library: for tests that hold what the program has written
against a reader that shares nothing with it.

    xlsx.py FILE

prints the sheets in their order as JSON: [{"name": …, "rows": [[cell, …], …]}]. A cell is null, {"text": …} or {"number": "12.30"}, with
"formula": true where it is one, and "marked": true where it stays a text whoever edits it.
"""

import json
import re
import sys
import xml.etree.ElementTree as ElementTree
import zipfile

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
LINK = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
PACKAGE = "{http://schemas.openxmlformats.org/package/2006/relationships}"
TYPES = "{http://schemas.openxmlformats.org/package/2006/content-types}"


def column(place):
    number = 0
    for letter in re.match(r"[A-Z]+", place).group():
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1


def plain(text):
    return re.sub(r"_x([0-9A-Fa-f]{4})_", lambda found: chr(int(found.group(1), 16)), text)


def cell_of(cell, formats):
    read = {}
    if cell.find(f"{MAIN}f") is not None:
        read["formula"] = True
    if formats[int(cell.get("s", "0"))].get("quotePrefix") == "1":
        read["marked"] = True
    if cell.get("t") == "inlineStr":
        read["text"] = plain("".join(part.text or "" for part in cell.iter(f"{MAIN}t")))
    else:
        read["number"] = cell.find(f"{MAIN}v").text
    return read


def sheet_of(root, formats):
    rows = []
    for row in root.find(f"{MAIN}sheetData"):
        assert int(row.get("r")) == len(rows) + 1, "rows stand in their order"
        cells = []
        for cell in row:
            at = column(cell.get("r"))
            assert at >= len(cells) and cell.get("r").endswith(row.get("r")), cell.get("r")
            cells += [None] * (at - len(cells)) + [cell_of(cell, formats)]
        rows.append(cells)
    return rows


def main(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None, "every checksum is right"
        read = {name: ElementTree.fromstring(archive.read(name)) for name in archive.namelist()}
    assert len(read) == len(archive.namelist()), "no part is there twice"
    types = read["[Content_Types].xml"]
    known = {part.get("PartName") for part in types.iter(f"{TYPES}Override")}
    endings = {part.get("Extension") for part in types.iter(f"{TYPES}Default")}
    assert all(f"/{name}" in known or name.rsplit(".")[-1] in endings for name in read), "every part is of a type"
    assert all(name[1:] in read for name in known), "every part that is named is there"
    links = {of.get("Id"): of.get("Target") for of in read["xl/_rels/workbook.xml.rels"].iter(f"{PACKAGE}Relationship")}
    formats = read["xl/styles.xml"].find(f"{MAIN}cellXfs")
    sheets = read["xl/workbook.xml"].find(f"{MAIN}sheets")
    told = [
        {"name": sheet.get("name"), "rows": sheet_of(read["xl/" + links[sheet.get(LINK)]], formats)} for sheet in sheets
    ]
    json.dump(told, sys.stdout, ensure_ascii=False)


main(sys.argv[1])
