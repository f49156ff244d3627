//! A report as XLSX (ECMA-376), a row at a time: texts stand in their cells, so that nothing has to be remembered, and amounts as the decimals
//! that they are, without a float on the way. Written here because it is this little (decision 0054). The same report is the same bytes.

use super::{Cell, Out, Sheet, zip::Zip};
use crate::csv::is_mistaken;
use std::{
    fmt::Write as _,
    io::{self, Seek, Write},
};

/// The most rows of a table, its head among them; what is more goes on in another.
const ROWS_MAX: u32 = 1_048_576;
/// The most characters of a cell.
const CHARS_MAX: usize = 32_767;
/// The most digits that a spreadsheet keeps of a number; one with more is written as a text.
const DIGITS_MAX: usize = 15;
/// So much is collected before it is packed, in bytes.
const PIECE_BYTES: usize = 1 << 15;

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n";
const MAIN: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
const PACKAGE: &str = "http://schemas.openxmlformats.org/package/2006";
const DOCUMENT: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
const KIND: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml";

/// How cells look, as numbers of `cellXfs` in [`STYLES`].
const BOLD: u8 = 1;
const MONEY: u8 = 2;
const COUNT: u8 = 3;
const TEXT: u8 = 4;
/// A text that stays one also where somebody edits it: it is marked as if an apostrophe had been typed before it.
const MARKED: u8 = 5;
/// A number with as many decimals as it has.
const KWH: u8 = 0;
const STYLES: &str = "<fonts count=\"2\"><font><sz val=\"11\"/><name val=\"Calibri\"/></font><font><b/><sz val=\"11\"/>\
    <name val=\"Calibri\"/></font></fonts><fills count=\"2\"><fill><patternFill patternType=\"none\"/></fill><fill>\
    <patternFill patternType=\"gray125\"/></fill></fills><borders count=\"1\"><border><left/><right/><top/><bottom/><diagonal/></border>\
    </borders><cellStyleXfs count=\"1\"><xf numFmtId=\"0\" fontId=\"0\" fillId=\"0\" borderId=\"0\"/></cellStyleXfs><cellXfs count=\"6\">\
    <xf numFmtId=\"0\" fontId=\"0\" fillId=\"0\" borderId=\"0\" xfId=\"0\"/>\
    <xf numFmtId=\"49\" fontId=\"1\" fillId=\"0\" borderId=\"0\" xfId=\"0\" applyNumberFormat=\"1\" applyFont=\"1\"/>\
    <xf numFmtId=\"4\" fontId=\"0\" fillId=\"0\" borderId=\"0\" xfId=\"0\" applyNumberFormat=\"1\"/>\
    <xf numFmtId=\"1\" fontId=\"0\" fillId=\"0\" borderId=\"0\" xfId=\"0\" applyNumberFormat=\"1\"/>\
    <xf numFmtId=\"49\" fontId=\"0\" fillId=\"0\" borderId=\"0\" xfId=\"0\" applyNumberFormat=\"1\"/>\
    <xf numFmtId=\"49\" fontId=\"0\" fillId=\"0\" borderId=\"0\" xfId=\"0\" quotePrefix=\"1\" applyNumberFormat=\"1\"/></cellXfs>\
    <cellStyles count=\"1\"><cellStyle name=\"Normal\" xfId=\"0\" builtinId=\"0\"/></cellStyles>";

/// The table that is being written.
struct Open {
    sheet: Sheet,
    /// The how manieth of its name.
    part: u32,
    rows: u32,
}

/// Writes a report.
pub struct Xlsx<W: Write + Seek> {
    zip: Zip<W>,
    open: Option<Open>,
    names: Vec<String>,
    /// What is collected.
    xml: String,
    rows_max: u32,
}

impl<W: Write + Seek> Xlsx<W> {
    /// Into this.
    pub fn new(out: W) -> Self {
        Self {
            zip: Zip::new(out),
            open: None,
            names: Vec::new(),
            xml: String::with_capacity(2 * PIECE_BYTES),
            rows_max: ROWS_MAX,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.zip.write(self.xml.as_bytes())?;
        self.xml.clear();
        Ok(())
    }

    fn begin_part(&mut self, sheet: Sheet, part: u32) -> io::Result<()> {
        let name = match part {
            1 => sheet.title().to_owned(),
            more => format!("{} {more}", sheet.title()),
        };
        self.names.push(name);
        let number = self.names.len();
        self.zip.begin(&format!("xl/worksheets/sheet{number}.xml"))?;
        let selected = if number == 1 { " tabSelected=\"1\"" } else { "" };
        let _infallible = write!(
            self.xml,
            "{HEAD}<worksheet xmlns=\"{MAIN}\"><sheetViews><sheetView{selected} workbookViewId=\"0\"><pane ySplit=\"1\" topLeftCell=\"A2\" \
             activePane=\"bottomLeft\" state=\"frozen\"/></sheetView></sheetViews><cols>"
        );
        for (n, column) in (1..).zip(sheet.columns()) {
            let width = column.width;
            let _infallible = write!(
                self.xml,
                "<col min=\"{n}\" max=\"{n}\" width=\"{width}\" customWidth=\"1\"/>"
            );
        }
        self.xml.push_str("</cols><sheetData>");
        self.open = Some(Open { sheet, part, rows: 0 });
        let heads: Vec<Cell> = sheet.columns().iter().map(|column| column.key.into()).collect();
        self.put(&heads, true)
    }

    fn put(&mut self, cells: &[Cell], is_head: bool) -> io::Result<()> {
        let open = self.open.as_mut().ok_or_else(|| io::Error::other("no table is open"))?;
        open.rows += 1;
        let row = open.rows;
        let _infallible = write!(self.xml, "<row r=\"{row}\">");
        for (n, cell) in cells.iter().enumerate() {
            let place = Place { column: n, row };
            match cell {
                Cell::None => {}
                Cell::Text(text) => {
                    let style = match (is_head, is_mistaken(text)) {
                        (true, _) => BOLD,
                        (false, true) => MARKED,
                        (false, false) => TEXT,
                    };
                    put_text(&mut self.xml, place, style, text);
                }
                Cell::Count(count) => put_number(&mut self.xml, place, COUNT, &count.to_string()),
                Cell::Money(amount) => put_number(&mut self.xml, place, MONEY, &amount.to_string()),
                Cell::Kwh(energy) => put_number(&mut self.xml, place, KWH, &energy.to_string()),
                Cell::Day(day) => put_text(&mut self.xml, place, TEXT, &day.to_string()),
                Cell::Time(at) => put_text(&mut self.xml, place, TEXT, &at.to_string()),
                Cell::Flag(flag) => put_text(&mut self.xml, place, TEXT, if *flag { "yes" } else { "no" }),
            }
        }
        self.xml.push_str("</row>");
        if self.xml.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let last = Place {
            column: open.sheet.columns().len() - 1,
            row: open.rows,
        };
        let _infallible = write!(self.xml, "</sheetData><autoFilter ref=\"A1:{last}\"/></worksheet>");
        self.flush()
    }

    fn part(&mut self, name: &str, xml: &str) -> io::Result<()> {
        self.zip.begin(name)?;
        self.zip.write(HEAD.as_bytes())?;
        self.zip.write(xml.as_bytes())
    }
}

impl<W: Write + Seek> Out for Xlsx<W> {
    fn begin(&mut self, sheet: Sheet) -> io::Result<()> {
        self.close()?;
        self.begin_part(sheet, 1)
    }

    fn row(&mut self, cells: &[Cell]) -> io::Result<()> {
        if let Some(Open { sheet, part, rows }) = self.open
            && rows >= self.rows_max
        {
            self.close()?;
            self.begin_part(sheet, part + 1)?;
        }
        self.put(cells, false)
    }

    fn end(&mut self) -> io::Result<()> {
        self.close()?;
        let numbers: Vec<usize> = (1..=self.names.len()).collect();
        let of_each = |part: &dyn Fn(usize) -> String| numbers.iter().map(|number| part(*number)).collect::<String>();
        let styles = numbers.len() + 1;
        let relations = of_each(&|n| {
            format!("<Relationship Id=\"rId{n}\" Type=\"{DOCUMENT}/worksheet\" Target=\"worksheets/sheet{n}.xml\"/>")
        });
        let relations = format!(
            "<Relationships xmlns=\"{PACKAGE}/relationships\">{relations}<Relationship Id=\"rId{styles}\" Type=\"{DOCUMENT}/styles\" \
             Target=\"styles.xml\"/></Relationships>"
        );
        let sheets = of_each(&|n| {
            format!(
                "<sheet name=\"{}\" sheetId=\"{n}\" r:id=\"rId{n}\"/>",
                self.names[n - 1]
            )
        });
        let workbook = format!(
            "<workbook xmlns=\"{MAIN}\" xmlns:r=\"{DOCUMENT}\"><bookViews><workbookView activeTab=\"0\"/></bookViews><sheets>{sheets}</sheets>\
             </workbook>"
        );
        let types = of_each(&|n| {
            format!("<Override PartName=\"/xl/worksheets/sheet{n}.xml\" ContentType=\"{KIND}.worksheet+xml\"/>")
        });
        let types = format!(
            "<Types xmlns=\"{PACKAGE}/content-types\"><Default Extension=\"rels\" \
             ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/><Default Extension=\"xml\" \
             ContentType=\"application/xml\"/><Override PartName=\"/xl/workbook.xml\" ContentType=\"{KIND}.sheet.main+xml\"/><Override \
             PartName=\"/xl/styles.xml\" ContentType=\"{KIND}.styles+xml\"/>{types}</Types>"
        );
        let root = format!(
            "<Relationships xmlns=\"{PACKAGE}/relationships\"><Relationship Id=\"rId1\" Type=\"{DOCUMENT}/officeDocument\" \
             Target=\"xl/workbook.xml\"/></Relationships>"
        );
        self.part(
            "xl/styles.xml",
            &format!("<styleSheet xmlns=\"{MAIN}\">{STYLES}</styleSheet>"),
        )?;
        self.part("xl/workbook.xml", &workbook)?;
        self.part("xl/_rels/workbook.xml.rels", &relations)?;
        self.part("_rels/.rels", &root)?;
        self.part("[Content_Types].xml", &types)?;
        self.zip.end()
    }
}

/// Where a cell is, as in `AB12`.
#[derive(Clone, Copy)]
struct Place {
    column: usize,
    row: u32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let letter = |n: usize| char::from(b'A' + u8::try_from(n % 26).unwrap_or(0));
        match self.column {
            n @ 0..26 => write!(f, "{}{}", letter(n), self.row),
            n => write!(f, "{}{}{}", letter(n / 26 - 1), letter(n), self.row),
        }
    }
}

fn put_number(xml: &mut String, place: Place, style: u8, number: &str) {
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    if digits > DIGITS_MAX {
        return put_text(xml, place, TEXT, number);
    }
    let _infallible = write!(xml, "<c r=\"{place}\" s=\"{style}\"><v>{number}</v></c>");
}

fn put_text(xml: &mut String, place: Place, style: u8, text: &str) {
    let _infallible = write!(
        xml,
        "<c r=\"{place}\" s=\"{style}\" t=\"inlineStr\"><is><t xml:space=\"preserve\">"
    );
    escape(xml, text);
    xml.push_str("</t></is></c>");
}

/// A text as it stands in a cell. What XML has no place for is written as `_x0007_`, and what looks like that so that it is read as it was.
fn escape(xml: &mut String, text: &str) {
    let text = text.char_indices().nth(CHARS_MAX).map_or(text, |(end, _)| &text[..end]);
    for (at, letter) in text.char_indices() {
        match letter {
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '&' => xml.push_str("&amp;"),
            '\t' | '\n' => xml.push(letter),
            '\u{fffe}' | '\u{ffff}' => xml.push('\u{fffd}'),
            '_' if is_escape(&text.as_bytes()[at..]) => xml.push_str("_x005F_"),
            letter if letter < ' ' => {
                let _infallible = write!(xml, "_x{:04X}_", u32::from(letter));
            }
            letter => xml.push(letter),
        }
    }
}

fn is_escape(bytes: &[u8]) -> bool {
    matches!(bytes, [b'_', b'x', digits @ ..] if digits.len() >= 5 && digits[4] == b'_'
        && digits[..4].iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, Read};

    fn escaped(text: &str) -> String {
        let mut xml = String::new();
        escape(&mut xml, text);
        xml
    }

    #[test]
    fn whatever_a_text_has_in_it_stays_in_its_cell() {
        assert_eq!(escaped("<a>&\"'\u{1}\r\n场"), "&lt;a&gt;&amp;\"'_x0001__x000D_\n场");
        assert_eq!(escaped("_x0041_ _x_ _x00G1_"), "_x005F_x0041_ _x_ _x00G1_");
        assert_eq!(escaped(&"场".repeat(40_000)).chars().count(), CHARS_MAX);
        let places = [0, 25, 26, 51, 52].map(|column| Place { column, row: 7 }.to_string());
        assert_eq!(places, ["A7", "Z7", "AA7", "AZ7", "BA7"]);
        let mut xml = String::new();
        put_number(&mut xml, Place { column: 0, row: 1 }, MONEY, "-9999999999999.99");
        put_number(&mut xml, Place { column: 0, row: 2 }, MONEY, "99999999999999.99");
        assert_eq!(
            xml,
            "<c r=\"A1\" s=\"2\"><v>-9999999999999.99</v></c><c r=\"A2\" s=\"4\" t=\"inlineStr\"><is><t xml:space=\"preserve\">\
             99999999999999.99</t></is></c>"
        );
    }

    #[test]
    fn a_table_with_more_rows_than_one_may_have_goes_on_in_another() {
        let mut file = Cursor::new(Vec::new());
        let mut xlsx = Xlsx::new(&mut file);
        xlsx.rows_max = 3;
        xlsx.begin(Sheet::Suspense).unwrap();
        for n in 0..5 {
            xlsx.row(&[Cell::Count(n)]).unwrap();
        }
        xlsx.end().unwrap();
        drop(xlsx);
        let mut archive = ::zip::ZipArchive::new(Cursor::new(file.into_inner())).unwrap();
        let mut part = |name: &str| {
            let mut text = String::new();
            archive.by_name(name).unwrap().read_to_string(&mut text).unwrap();
            text
        };
        let workbook = part("xl/workbook.xml");
        assert!(
            workbook.contains("name=\"Suspense\"") && workbook.contains("name=\"Suspense 3\""),
            "{workbook}"
        );
        for (n, rows) in [(1, 3), (2, 3), (3, 2)] {
            let sheet = part(&format!("xl/worksheets/sheet{n}.xml"));
            assert_eq!(sheet.matches("<row ").count(), rows);
            assert!(sheet.contains(&format!("<autoFilter ref=\"A1:E{rows}\"/>")), "{sheet}");
        }
    }
}
